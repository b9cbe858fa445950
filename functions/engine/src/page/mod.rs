//! `report.html`: a publication as one page, without a script, a font or a request. It says nothing that is no row of the
//! estimates; what has no value says why.

mod charts;
mod draw;
mod sections;

use std::ops::Range;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use crate::error::Result;
use crate::summary::Summary;

const STYLE: &str = include_str!("page.css");

/// A part of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    blocks: Vec<Block>,
}

/// What a part is made of.
enum Block {
    Sentences(Vec<String>),
    Note(String),
    Figure(Figure),
    Small(Vec<Figure>),
    Table(Table),
    Terms(String, Vec<(String, String)>),
}

/// A chart with everything that is needed to read it.
struct Figure {
    title: String,
    sentence: Option<String>,
    /// For where there is room, and where there is not.
    chart: Option<[Value; 2]>,
    /// What is said in the place of a chart.
    without: String,
    /// The rows, customers and grade behind it.
    basis: String,
    /// What it does not show.
    caution: &'static str,
    table: Option<Table>,
}

struct Table {
    caption: String,
    head: Vec<String>,
    numbers: Range<usize>,
    cells: Vec<Vec<String>>,
}

impl Table {
    /// The columns of `numbers` stand to the right.
    fn new(caption: &str, head: &[&str], numbers: Range<usize>, cells: Vec<Vec<String>>) -> Self {
        Self { caption: caption.to_owned(), head: head.iter().map(|name| (*name).to_owned()).collect(), numbers, cells }
    }
}

/// The page of a publication.
///
/// # Errors
/// [`crate::Error::Audit`] for a chart that cannot be drawn.
pub(crate) fn page(summary: &Summary) -> Result<String> {
    let sections = sections::sections(summary);
    let charts = sections.iter().flat_map(|section| &section.blocks).flat_map(|block| match block {
        Block::Figure(figure) => std::slice::from_ref(figure),
        Block::Small(figures) => figures.as_slice(),
        _ => &[],
    });
    // A small chart is as wide in both places, and drawn once.
    let specifications = charts
        .filter_map(|figure| figure.chart.clone())
        .flat_map(|[wide, narrow]| if wide == narrow { vec![wide] } else { vec![wide, narrow] });
    let mut drawn = draw::draw(specifications.collect())?.into_iter();
    Ok(document(summary, &sections, &mut drawn).into_string())
}

fn document(summary: &Summary, sections: &[Section], drawn: &mut impl Iterator<Item = String>) -> Markup {
    let title = format!("Customer experience and revenue, {}", summary.period);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p class="quiet" {
                        "Publication " (summary.seq) " of this month, amounts in " (summary.currency) ", months of " (summary.timezone)
                        ". Every estimate with its interval; what cannot be known says so."
                    }
                    @if let Some(reason) = summary.incomplete {
                        p class="warning" { "The month is not complete: " (reason) }
                    }
                    nav aria-label="Parts of the report" {
                        ul { @for section in sections { li { a href={"#" (section.id)} { (section.title) } } } }
                    }
                }
                main {
                    @for section in sections {
                        section id=(section.id) class=(section.id) {
                            h2 { (section.title) }
                            @for block in &section.blocks { (self::block(block, drawn)) }
                        }
                    }
                }
                footer {
                    p { "Run " (summary.run_id) ", cxroi " (summary.version) ". All numbers: estimates.parquet and roi.xlsx of this run." }
                }
            }
        }
    }
}

fn block(block: &Block, drawn: &mut impl Iterator<Item = String>) -> Markup {
    match block {
        Block::Sentences(sentences) => html! { @for sentence in sentences { p { (sentence) } } },
        Block::Note(note) => html! { p class="quiet" { (note) } },
        Block::Figure(figure) => self::figure(figure, drawn),
        Block::Small(figures) => html! {
            div class="small" { @for figure in figures { div { (self::figure(figure, drawn)) } } }
        },
        Block::Table(table) => self::table(table, &table.caption),
        Block::Terms(title, terms) => html! {
            h3 { (title) }
            dl { @for (term, meaning) in terms { dt { (term) } dd { (meaning) } } }
        },
    }
}

fn figure(figure: &Figure, drawn: &mut impl Iterator<Item = String>) -> Markup {
    html! {
        h3 { (figure.title) }
        @if let Some(sentence) = &figure.sentence { p { (sentence) } }
        @match &figure.chart {
            None => p class="nothing" { (figure.without) },
            Some([wide, narrow]) => figure class="chart" {
                @if wide == narrow {
                    (svg(drawn, &figure.title, "both"))
                } @else {
                    (svg(drawn, &figure.title, "wide"))
                    (svg(drawn, &figure.title, "narrow"))
                }
            },
        }
        p class="basis" { (figure.basis) }
        @if !figure.caution.is_empty() { p class="caution" { (figure.caution) } }
        @if let Some(table) = &figure.table { details { summary { (table.caption) } (self::table(table, &figure.title)) } }
    }
}

/// A drawn chart as one picture with a name; what it shows is in the table below it.
fn svg(drawn: &mut impl Iterator<Item = String>, title: &str, class: &str) -> Markup {
    let svg = drawn.next().unwrap_or_default();
    let inner = svg.strip_prefix("<svg ").unwrap_or_default();
    let inner = inner.replacen("class=\"marks\" ", "", 1);
    let label = html! { (title) ". The numbers are in the table below." }.into_string().replace('"', "&quot;");
    PreEscaped(format!("<svg class=\"{class}\" role=\"img\" aria-label=\"{label}\" {inner}"))
}

/// A table, with what it is called where it is scrolled to.
fn table(table: &Table, label: &str) -> Markup {
    let class = |column: usize| if table.numbers.contains(&column) { Some("number") } else { None };
    html! {
        @if !table.cells.is_empty() {
            div class="table" tabindex="0" role="region" aria-label=(label) {
                table {
                    caption { (table.caption) }
                    thead {
                        tr { @for (column, name) in table.head.iter().enumerate() {
                            @if name.is_empty() { td {} } @else { th scope="col" class=[class(column)] { (name) } }
                        } }
                    }
                    tbody { @for cells in &table.cells {
                        tr { @for (column, cell) in cells.iter().enumerate() {
                            @if column == 0 { th scope="row" { (cell) } } @else { td class=[class(column)] { (cell) } }
                        } }
                    } }
                }
            }
        }
    }
}
