//! Charts are Vega-Lite specifications, drawn to SVG by Vega in an embedded JavaScript engine that can reach nothing.

use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use rquickjs::promise::Promise;
use rquickjs::{CatchResultExt, Context, Ctx, Function, Runtime};
use serde_json::Value;

use crate::error::{Error, Result};

/// Vega 6.4.0 and Vega-Lite 6.4.1 as their authors publish them, what they miss, and what makes an SVG with them.
const SCRIPTS: [&str; 4] = [
    include_str!("../../vega/host.js"),
    include_str!("../../vega/vega-6.4.0.min.js"),
    include_str!("../../vega/vega-lite-6.4.1.min.js"),
    include_str!("../../vega/draw.js"),
];

/// Bytes that all charts of a page may take.
const MEMORY: usize = 512 << 20;

/// Bytes of stack: Vega's parser is deeply recursive.
const STACK: usize = 8 << 20;

/// What is to be drawn, and where the drawings go.
type Job = (Vec<Value>, SyncSender<Result<Vec<String>>>);

/// The thread that draws. It has the stack that Vega needs, and reads Vega once for all pages of a process.
static DRAWER: LazyLock<Option<SyncSender<Job>>> = LazyLock::new(|| {
    let (sender, jobs) = sync_channel::<Job>(0);
    let work = move || {
        let mut warm = None;
        for (specifications, reply) in jobs {
            let drawn = warm.take().map_or_else(vega, Ok).and_then(|context| {
                let drawn = context.with(|context| drawn(&context, &specifications))?;
                // One that failed may be short of memory: the next page gets another.
                warm = Some(context);
                Ok(drawn)
            });
            // Nobody waits any more if the run was given up.
            drop(reply.send(drawn));
        }
    };
    let thread = std::thread::Builder::new().name("charts".to_owned()).stack_size(2 * STACK);
    thread.spawn(work).ok().map(|_| sender)
});

/// Draws specifications, each to an SVG without a script or a reference to anything else. The same ones give the same bytes.
///
/// # Errors
/// [`Error::Audit`] for a specification that Vega refuses or warns of.
pub(super) fn draw(specifications: Vec<Value>) -> Result<Vec<String>> {
    if specifications.is_empty() {
        return Ok(Vec::new());
    }
    let gone = || failed(0, &"the thread that draws is gone");
    let (sender, reply) = sync_channel(1);
    DRAWER.as_ref().ok_or_else(gone)?.send((specifications, sender)).map_err(|_| gone())?;
    reply.recv().map_err(|_| gone())?
}

/// An engine that has read Vega.
fn vega() -> Result<Context> {
    let runtime = Runtime::new().map_err(|error| failed(0, &error))?;
    runtime.set_memory_limit(MEMORY);
    runtime.set_max_stack_size(STACK);
    let context = Context::full(&runtime).map_err(|error| failed(0, &error))?;
    context.with(|context| {
        let mut scripts = SCRIPTS.into_iter();
        scripts.try_for_each(|script| context.eval(script).catch(&context).map_err(|error| failed(0, &error)))
    })?;
    Ok(context)
}

fn drawn<'js>(context: &Ctx<'js>, specifications: &[Value]) -> Result<Vec<String>> {
    let draw: Function<'js> = context.globals().get("draw").map_err(|error| failed(0, &error))?;
    let svgs = specifications.iter().enumerate().map(|(number, specification)| {
        let promise = draw.call::<_, Promise>((specification.to_string(),));
        let svg = promise.and_then(|promise| promise.finish::<String>());
        Ok(own_ids(&svg.catch(context).map_err(|error| failed(number, &error))?, number))
    });
    svgs.collect()
}

fn failed(number: usize, error: &dyn std::fmt::Display) -> Error {
    Error::Audit(format!("chart {number} of the page cannot be drawn: {error}"))
}

/// With ids that no other chart of the page has, and without roles: the chart as a whole has one.
fn own_ids(svg: &str, number: usize) -> String {
    let roles =
        [" role=\"graphics-object\"", " aria-roledescription=\"group mark container\"", " aria-hidden=\"true\""];
    let svg = roles.iter().fold(svg.to_owned(), |svg, role| svg.replace(role, ""));
    ["clip", "gradient"].iter().fold(svg, |svg, id| {
        svg.replace(&format!("id=\"{id}"), &format!("id=\"chart{number}-{id}"))
            .replace(&format!("url(#{id}"), &format!("url(#chart{number}-{id}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bars(mark: Value) -> Value {
        json!({
            "data": {"values": [{"band": "<script>\u{2028}", "value": 1.5}, {"band": "promoter", "value": 3}]},
            "mark": mark, "width": 200, "height": 100,
            "encoding": {"x": {"field": "value", "type": "quantitative"}, "y": {"field": "band", "type": "nominal"}},
        })
    }

    #[test]
    fn a_chart_is_an_svg_that_is_the_same_each_time() {
        let specifications = vec![bars(json!({"type": "bar", "clip": true})); 2];
        let drawn = draw(specifications.clone()).unwrap();
        assert_eq!(drawn, draw(specifications).unwrap());
        assert!(drawn[0].starts_with("<svg ") && drawn[0].ends_with("</svg>"), "{}", drawn[0]);
        assert!(drawn[0].contains("&lt;script&gt;") && !drawn[0].contains("<script"), "{}", drawn[0]);
        assert!(drawn[0].contains("url(#chart0-clip") && drawn[1].contains("url(#chart1-clip"), "{drawn:?}");
    }

    #[test]
    fn what_vega_warns_of_is_no_chart() {
        let unknown = draw(vec![bars(json!("barr"))]).unwrap_err().to_string();
        assert!(unknown.contains("chart 0 of the page cannot be drawn"), "{unknown}");
        let mut empty = bars(json!("bar"));
        empty["encoding"]["x"]["field"] = json!("nothing");
        let warned = draw(vec![bars(json!("bar")), empty]).unwrap_err().to_string();
        assert!(warned.contains("chart 1 of the page") && warned.contains("Infinite extent"), "{warned}");
    }
}
