//! The bootstrap of `plan`.

use engine::{Error, Function};
use lambda_runtime::{Diagnostic, LambdaEvent, run, service_fn};
use plan::{Request, Response, handle};

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    tracing_subscriber::fmt().json().with_current_span(false).with_ansi(false).init();
    let function = &Function::from_environment("plan")?;
    run(service_fn(async |event: LambdaEvent<Request>| answer(event, function).await)).await
}

async fn answer(event: LambdaEvent<Request>, function: &Function) -> Result<Response, Diagnostic> {
    let answer = function.measured(event.context.deadline(), handle(event.payload, function), Response::metrics).await;
    answer.map_err(|error: Error| {
        tracing::error!(kind = error.kind(), "{error}");
        Diagnostic { error_type: error.kind().to_owned(), error_message: error.to_string() }
    })
}
