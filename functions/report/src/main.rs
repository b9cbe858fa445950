//! The bootstrap of `report`.

use engine::{Error, Function};
use lambda_runtime::{Diagnostic, LambdaEvent, run, service_fn};
use report::{Request, Response, handle};
use tracing::Instrument;

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing_subscriber::fmt().json().with_span_list(false).with_ansi(false).init();
    let function = &Function::from_environment("report")?;
    run(service_fn(async |event: LambdaEvent<Request>| answer(event, function).await)).await
}

async fn answer(event: LambdaEvent<Request>, function: &Function) -> Result<Response, Diagnostic> {
    let LambdaEvent { payload, context } = event;
    let span = tracing::info_span!("report", request = context.request_id, plan = payload.plan);
    let work = async {
        let answer = function.measured(context.deadline(), handle(payload, function), Response::metrics).await;
        answer.map_err(|error: Error| {
            tracing::error!(kind = error.kind(), "{error}");
            Diagnostic { error_type: error.kind().to_owned(), error_message: error.to_string() }
        })
    };
    work.instrument(span).await
}
