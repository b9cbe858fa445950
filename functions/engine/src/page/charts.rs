//! The few shapes of chart that the page has, as Vega-Lite specifications. They say nothing of what is drawn.

use serde_json::{Value, json};

use crate::summary::Number;
use crate::wording::grouped;

/// Fonts with the character widths that Vega lays text out with.
pub(super) const FONT: &str = "Arial, Liberation Sans, Helvetica, sans-serif";

/// Pixels of a chart where there is room, and where there is not.
pub(super) const WIDTHS: [u32; 2] = [640, 328];

/// The colours of up to three series, told apart by people who see colours otherwise too; shapes and dashes tell them as well.
const COLOURS: [&str; 3] = ["var(--first)", "var(--second)", "var(--third)"];
const SHAPES: [&str; 3] = ["circle", "square", "triangle-up"];
const DASHES: [[u32; 2]; 3] = [[1, 0], [6, 3], [2, 2]];

/// The numbers of an axis: what they are divided by, and what is said of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    title: String,
    divisor: f64,
}

impl Axis {
    /// Numbers of a unit of the estimates, the largest of which is so far from 0.
    pub(super) fn new(unit: &str, currency: &str, largest: f64) -> Self {
        let (money, each) = match unit.split_once('/') {
            Some(("money", "customer-month")) => (true, ", a customer and month"),
            Some(("money", "customer")) => (true, ", a customer"),
            _ => (unit == "money", ""),
        };
        let (divisor, title) = match unit {
            "share" => (0.01, "%".to_owned()),
            "ratio" => (1.0, String::new()),
            _ if !money => (1.0, unit.to_owned()),
            _ if largest >= 1e7 => (1e6, format!("million {currency}{each}")),
            _ if largest >= 1e4 => (1e3, format!("thousand {currency}{each}")),
            _ => (1.0, format!("{currency}{each}")),
        };
        Self { title, divisor }
    }

    fn of(&self, value: f64) -> f64 {
        value / self.divisor
    }
}

/// A value with its interval, if it has one, at a place of an axis of names.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) place: String,
    pub(super) series: String,
    pub(super) value: f64,
    pub(super) interval: Option<(f64, f64)>,
}

impl Point {
    fn data(&self, axis: &Axis) -> Value {
        let (lo, hi) = self.interval.unwrap_or((self.value, self.value));
        json!({
            "place": self.place, "series": self.series,
            "value": axis.of(self.value), "lo": axis.of(lo), "hi": axis.of(hi),
        })
    }
}

/// The series in the order in which they come.
fn series(points: &[Point]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for point in points {
        if !names.contains(&point.series.as_str()) {
            names.push(&point.series);
        }
    }
    names
}

fn colour(names: &[&str]) -> Value {
    let legend = if names.len() > 1 { json!({"title": null, "symbolOpacity": 1}) } else { Value::Null };
    json!({
        "field": "series", "type": "nominal", "legend": legend,
        "scale": {"domain": names, "range": COLOURS[..names.len().min(3)]},
    })
}

fn shape(names: &[&str]) -> Value {
    json!({"field": "series", "type": "nominal", "scale": {"domain": names, "range": SHAPES[..names.len().min(3)]}})
}

/// Everything that charts share. The plot takes what labels leave of the width.
fn chart(width: u32, height: usize, data: Vec<Value>, layers: Vec<Value>) -> Value {
    json!({
        "width": width, "height": height, "padding": 4, "background": null,
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"values": data},
        "layer": layers,
        "config": config(width),
    })
}

/// The height of so many names below each other, with an axis below them and a legend above.
fn lines(names: usize) -> usize {
    names * 30 + 60
}

fn config(width: u32) -> Value {
    let label = if width > 400 { 190 } else { 135 };
    json!({
        "font": FONT, "mark": {"aria": false},
        "view": {"stroke": null},
        "axis": {
            "aria": false, "labelColor": "var(--ink)", "titleColor": "var(--ink)", "labelFontSize": 12, "titleFontSize": 12,
            "titleFontWeight": "normal", "gridColor": "var(--grid)", "domainColor": "var(--axis)",
            "tickColor": "var(--axis)", "labelLimit": label, "titleLimit": width - 60, "labelOverlap": "greedy",
        },
        "legend": {
            "aria": false, "orient": "top", "labelColor": "var(--ink)", "labelFontSize": 12, "labelLimit": width - 60,
            "columns": if width > 400 { 3 } else { 1 },
        },
        "text": {"color": "var(--ink)", "fontSize": 12},
    })
}

/// A line at nothing.
fn zero(channel: &str) -> Value {
    json!({"data": {"values": [{}]}, "mark": {"type": "rule", "color": "var(--axis)", "strokeDash": [4, 3]}, "encoding": {channel: {"datum": 0}}})
}

/// An axis of numbers that goes across: its labels stay inside of the chart, and apart from each other.
fn across(axis: &Axis, more: Value) -> Value {
    let mut encoding = numbers(axis, more);
    for (key, value) in [("labelFlush", json!(true)), ("labelBound", json!(4)), ("labelSeparation", json!(6))] {
        encoding["axis"][key] = value;
    }
    encoding
}

fn numbers(axis: &Axis, more: Value) -> Value {
    let mut encoding = json!({
        "type": "quantitative", "title": if axis.title.is_empty() { Value::Null } else { json!(axis.title) },
        "axis": {"format": ",.6~f", "tickCount": 5},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        encoding[key] = value.clone();
    }
    encoding
}

/// Values with intervals side by side, in the order in which they come; with a line through them where they follow each other.
pub(super) fn intervals(points: &[Point], axis: &Axis, places: &str, joined: bool, zeroed: bool) -> [Value; 2] {
    let names = series(points);
    let data: Vec<Value> = points.iter().map(|point| point.data(axis)).collect();
    let x = json!({
        "field": "place", "type": "ordinal", "sort": null, "scale": {"type": "band"},
        "title": if places.is_empty() { Value::Null } else { json!(places) },
        "axis": {"labelAngle": 0, "grid": false},
    });
    let offset = json!({"field": "series", "type": "nominal", "sort": null, "scale": {"paddingInner": 0.5, "paddingOuter": 0.8}});
    let y = numbers(axis, json!({"field": "value", "scale": {"zero": zeroed, "nice": true}}));
    let (low, high) = (numbers(axis, json!({"field": "lo"})), json!({"field": "hi"}));
    let side_by_side = !joined
        && points.iter().enumerate().any(|(at, point)| points[..at].iter().any(|other| other.place == point.place));
    let encode = |mut encoding: Value| {
        encoding["x"] = x.clone();
        encoding["color"] = colour(&names);
        if side_by_side {
            encoding["xOffset"] = offset.clone();
        }
        encoding
    };
    let mut layers = vec![
        json!({"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6}, "encoding": encode(json!({"y": low, "y2": high}))}),
        json!({
            "mark": {"type": "point", "filled": true, "size": 55, "opacity": 1},
            "encoding": encode(json!({"y": y, "shape": shape(&names)})),
        }),
    ];
    if joined {
        layers.insert(0, json!({"mark": {"type": "line", "strokeWidth": 1.5}, "encoding": encode(json!({"y": y}))}));
    }
    if zeroed {
        layers.insert(0, zero("y"));
    }
    WIDTHS.map(|width| chart(width, 260, data.clone(), layers.clone()))
}

/// A few months of one number, small.
pub(super) fn trend(points: &[Point], axis: &Axis) -> [Value; 2] {
    let [_, small] = intervals(points, axis, "", true, false);
    let mut small = small;
    small["height"] = json!(150);
    [small.clone(), small]
}

/// Values with intervals below each other, a name a line, against 0.
pub(super) fn forest(points: &[Point], axis: &Axis) -> [Value; 2] {
    let names = series(points);
    let data: Vec<Value> = points.iter().map(|point| point.data(axis)).collect();
    let y = json!({"field": "place", "type": "ordinal", "sort": null, "title": null, "axis": {"grid": false}});
    let (low, value) = (across(axis, json!({"field": "lo"})), across(axis, json!({"field": "value"})));
    let layers = vec![
        zero("x"),
        json!({"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6}, "encoding": {"y": y, "x": low, "x2": {"field": "hi"}, "color": colour(&names)}}),
        json!({"mark": {"type": "point", "filled": true, "size": 60, "opacity": 1}, "encoding": {"y": y, "x": value, "color": colour(&names), "shape": shape(&names)}}),
    ];
    WIDTHS.map(|width| chart(width, lines(points.len()), data.clone(), layers.clone()))
}

/// One step of a waterfall, from one height to another; a total stands on 0 and is no step.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) is_total: bool,
}

impl Step {
    fn kind(&self) -> &'static str {
        match (self.is_total, self.to >= self.from) {
            (true, _) => "total",
            (false, true) => "more",
            (false, false) => "less",
        }
    }
}

/// Steps below each other from a first total to a last, all from 0.
pub(super) fn waterfall(steps: &[Step], axis: &Axis) -> [Value; 2] {
    let decimals = if axis.divisor > 1.0 { 1 } else { 0 };
    let label = |step: &Step| grouped(axis.of(if step.is_total { step.to } else { step.to - step.from }), decimals);
    WIDTHS.map(|width| {
        let data = steps.iter().map(|step| {
            let (from, to) = (axis.of(step.from), axis.of(step.to));
            json!({"place": step.name, "from": from, "to": to, "end": from.max(to), "label": label(step), "kind": step.kind()})
        });
        // Room to the right of the longest bar for what is written there.
        let written = steps.iter().map(|step| label(step).len()).max().unwrap_or_default() as f64 * 7.0 + 8.0;
        let plot = f64::from(width) - 170.0;
        let ends = || steps.iter().flat_map(|step| [axis.of(step.from), axis.of(step.to)]);
        let (start, end) = (ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
        let scale = json!({"domain": [start, start + (end - start).max(1.0) * plot / (plot - written)], "nice": false});
        let y = json!({"field": "place", "type": "ordinal", "sort": null, "title": null, "axis": {"grid": false}});
        let from = across(axis, json!({"field": "from", "scale": scale}));
        let end = across(axis, json!({"field": "end", "scale": scale}));
        let colour = json!({
            "field": "kind", "type": "nominal", "legend": null,
            "scale": {"domain": ["total", "more", "less"], "range": ["var(--axis)", "var(--more)", "var(--less)"]},
        });
        let layers = vec![
            json!({"mark": {"type": "bar", "height": {"band": 0.7}}, "encoding": {"y": y, "x": from, "x2": {"field": "to"}, "color": colour}}),
            json!({"mark": {"type": "text", "align": "left", "dx": 5}, "encoding": {"y": y, "x": end, "text": {"field": "label"}}}),
        ];
        chart(width, lines(steps.len()), data.collect(), layers)
    })
}

/// A curve in steps with a band around it: at each month, the value and its interval.
pub(super) fn curves(points: &[(i32, Point)], axis: &Axis, months: &str) -> [Value; 2] {
    let plain: Vec<Point> = points.iter().map(|(_, point)| point.clone()).collect();
    let names = series(&plain);
    let data = points.iter().map(|(month, point)| {
        let mut data = point.data(axis);
        data["month"] = json!(month);
        data
    });
    let data: Vec<Value> = data.collect();
    let x = json!({"field": "month", "type": "quantitative", "title": months, "axis": {"grid": false, "tickMinStep": 1}, "scale": {"nice": false}});
    let dash = json!({"field": "series", "type": "nominal", "scale": {"domain": names, "range": DASHES[..names.len().min(3)]}});
    let band = numbers(axis, json!({"field": "lo", "scale": {"zero": true}}));
    let line = numbers(axis, json!({"field": "value"}));
    let mut colour = colour(&names);
    colour["legend"]["symbolType"] = json!("stroke");
    let layers = vec![
        json!({"mark": {"type": "area", "interpolate": "step-after", "opacity": 0.15}, "encoding": {"x": x, "y": band, "y2": {"field": "hi"}, "color": colour}}),
        json!({"mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2}, "encoding": {"x": x, "y": line, "color": colour, "strokeDash": dash}}),
    ];
    WIDTHS.map(|width| chart(width, 280, data.clone(), layers.clone()))
}

/// A named place in a plane, and how far it may be across and up and down.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) x: Number,
    pub(super) y: Number,
}

/// The ends of a number's interval; where it has none, itself twice.
fn ends(number: Number, axis: &Axis) -> [f64; 2] {
    let (lo, hi) = number.interval.unwrap_or((number.value, number.value));
    [axis.of(lo), axis.of(hi)]
}

/// Named places in a plane, with the names beside them so that none covers another. Up and down is from 0, and each way no less
/// than a unit of its axis is seen: what differs by a hundredth does not stand at the two ends.
pub(super) fn plane(places: &[Place], [x_axis, y_axis]: [&Axis; 2], [x_title, y_title]: [&str; 2]) -> [Value; 2] {
    WIDTHS.map(|width| {
        // The plot has a size of its own, so that pixels are known to put names at.
        let plot = [f64::from(width) - 84.0, 270.0];
        let x_domain = spread(places.iter().flat_map(|place| ends(place.x, x_axis)));
        let y_domain = spread(places.iter().flat_map(|place| ends(place.y, y_axis)).chain([0.0]));
        let across = |value: f64| (value - x_domain[0]) / (x_domain[1] - x_domain[0]) * plot[0];
        let down = |value: f64| (y_domain[1] - value) / (y_domain[1] - y_domain[0]) * plot[1];
        let cross = |place: &Place| Cross {
            dot: [across(x_axis.of(place.x.value)), down(y_axis.of(place.y.value))],
            across: ends(place.x, x_axis).map(across),
            down: ends(place.y, y_axis).map(down),
        };
        let crosses: Vec<Cross> = places.iter().map(cross).collect();
        let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
        let data = places.iter().zip(labels(&crosses, &names, plot)).map(|(place, label)| {
            let ([left, right], [lo, hi]) = (ends(place.x, x_axis), ends(place.y, y_axis));
            let [across, down] = label.unwrap_or_default();
            json!({
                "x": x_axis.of(place.x.value), "left": left, "right": right,
                "y": y_axis.of(place.y.value), "lo": lo, "hi": hi,
                "name": place.name, "across": across, "down": down, "named": label.is_some(),
            })
        });
        let scale = |domain: [f64; 2]| json!({"domain": domain, "nice": false, "zero": false});
        let x = |field: &str| self::across(x_axis, json!({"field": field, "title": x_title, "scale": scale(x_domain)}));
        let y = |field: &str| numbers(y_axis, json!({"field": field, "title": y_title, "scale": scale(y_domain)}));
        let line = json!({"type": "rule", "strokeWidth": 2, "opacity": 0.6, "color": COLOURS[0]});
        json!({
            "width": plot[0], "height": plot[1], "padding": 4, "background": null,
            "data": {"values": data.collect::<Vec<_>>()},
            "layer": [
                {"mark": line, "encoding": {"x": x("x"), "y": y("lo"), "y2": {"field": "hi"}}},
                {"mark": line, "encoding": {"x": x("left"), "x2": {"field": "right"}, "y": y("y")}},
                zero("y"),
                {"mark": {"type": "point", "filled": true, "size": 70, "opacity": 1, "color": COLOURS[0]}, "encoding": {"x": x("x"), "y": y("y")}},
                {
                    "transform": [{"filter": "datum.named"}],
                    "mark": {"type": "text", "align": "left", "baseline": "middle", "x": {"expr": "datum.across"}, "y": {"expr": "datum.down"}},
                    "encoding": {"text": {"field": "name"}},
                },
            ],
            "config": config(width),
        })
    })
}

/// A domain with some room around the values, and no narrower than 1.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 2] {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let room = ((high - low) * 0.15).max((1.0 - (high - low)) / 2.0);
    [low - room, high + room]
}

/// A dot in pixels, with the ends of its lines across, and of those up and down.
#[derive(Debug, Clone, Copy)]
struct Cross {
    dot: [f64; 2],
    across: [f64; 2],
    down: [f64; 2],
}

/// Where the left middle of each name goes: beside its dot above or below the line across, or over or under the dot. Where each
/// of them would cross a line, one that covers no dot and no other name; `None` where there is none.
fn labels(crosses: &[Cross], names: &[&str], plot: [f64; 2]) -> Vec<Option<[f64; 2]>> {
    const HEIGHT: f64 = 15.0;
    const GAP: f64 = 8.0;
    let dots = crosses.iter().map(|Cross { dot: [x, y], .. }| [x - 5.0, y - 5.0, x + 5.0, y + 5.0]);
    let mut taken: Vec<[f64; 4]> = dots.collect();
    let lines = crosses.iter().flat_map(|Cross { dot: [x, y], across: [left, right], down: [low, high] }| {
        [[*left, y - 1.0, *right, y + 1.0], [x - 1.0, *high, x + 1.0, *low]]
    });
    let lines: Vec<[f64; 4]> = lines.collect();
    let place = |(cross, name): (&Cross, &&str)| {
        let [x, y] = cross.dot;
        let width = name.chars().count() as f64 * 7.2;
        let (right, left, middle) = (x + GAP, x - GAP - width, x - width / 2.0);
        let starts = [[right, y - 10.0], [left, y - 10.0], [right, y + 10.0], [left, y + 10.0]];
        let others = [[right, y], [left, y], [middle, y - 14.0], [middle, y + 14.0]];
        let label = |[left, middle]: [f64; 2]| [left, middle - HEIGHT / 2.0, left + width, middle + HEIGHT / 2.0];
        let apart = |[left, top, right, bottom]: [f64; 4], others: &[[f64; 4]]| {
            others
                .iter()
                .all(|[from, above, to, below]| right <= *from || *to <= left || bottom <= *above || *below <= top)
        };
        let is_free = |start: &[f64; 2]| {
            let [left, top, right, bottom] = label(*start);
            let inside = left >= 0.0 && top >= 0.0 && right <= plot[0] && bottom <= plot[1];
            inside && apart([left, top, right, bottom], &taken)
        };
        let free: Vec<[f64; 2]> = starts.into_iter().chain(others).filter(is_free).collect();
        let clear = free.iter().copied().find(|start| apart(label(*start), &lines));
        let start = clear.or_else(|| free.first().copied());
        taken.extend(start.map(label));
        start
    };
    crosses.iter().zip(names).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: f64, y: f64) -> Cross {
        Cross { dot: [x, y], across: [x - 40.0, x + 40.0], down: [y + 40.0, y - 40.0] }
    }

    #[test]
    fn what_hardly_differs_stands_close() {
        assert_eq!(spread([6.25, 6.5].into_iter()), [5.875, 6.875]);
        assert_eq!(spread([0.0, 10.0].into_iter()), [-1.5, 11.5]);
        assert_eq!(spread([3.0].into_iter()), [2.5, 3.5]);
    }

    #[test]
    fn names_stand_clear_of_lines_and_of_each_other() {
        let named = |crosses: &[Cross]| labels(crosses, &vec!["phone"; crosses.len()], [300.0, 300.0]);
        assert_eq!(named(&[at(100.0, 100.0)]), [Some([108.0, 90.0])]);
        // In the corner at the right and above there is no room but at the left and below.
        assert_eq!(named(&[at(290.0, 10.0)]), [Some([246.0, 20.0])]);
        assert_eq!(named(&[at(100.0, 100.0), at(100.0, 104.0)]), [Some([108.0, 90.0]), Some([108.0, 114.0])]);
        // Of many on top of each other some stay without a name, which the table has.
        assert!(named(&[at(100.0, 100.0); 12]).contains(&None));
    }
}
