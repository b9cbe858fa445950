//! `roi.xlsx`: a publication as a workbook. Every row of the estimates is in one of its sheets, to the last digit.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use rust_xlsxwriter::{
    Chart, ChartErrorBars, ChartErrorBarsType, ChartFormat, ChartRange, ChartSolidFill, ChartType, Color,
    DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder, Formula, Note, Workbook, Worksheet, XlsxError,
};

use crate::error::{Error, Result};
use crate::estimates::{ALL, Row};
use crate::glossary::{self, GRADES, TERMS};
use crate::report::Ledger;
use crate::summary::Summary;

/// The sheet of each section of the estimates.
const SHEETS: [(&str, &str); 11] = [
    ("kpi", "Indicators"),
    ("bridge", "Bridge"),
    ("retained_revenue", "Retained revenue"),
    ("association", "Association"),
    ("asymmetry", "Asymmetry"),
    ("driver", "Drivers"),
    ("initiative", "Programmes"),
    ("clv", "Lifetime value"),
    ("survival", "Survival"),
    ("value", "Value"),
    ("quality", "Quality"),
];

/// What a sheet says of each row, with the width of the column in characters.
const COLUMNS: [(&str, f64); 24] = [
    ("Name", 46.0),
    ("Metric", 22.0),
    ("Window", 10.0),
    ("Segment", 14.0),
    ("Score", 7.0),
    ("Outcome", 15.0),
    ("Band", 18.0),
    ("Driver", 20.0),
    ("Programme", 16.0),
    ("Lag", 6.0),
    ("Value", 16.0),
    ("Low", 14.0),
    ("High", 14.0),
    ("Status", 18.0),
    ("Grade", 11.0),
    ("Unit", 20.0),
    ("Method", 20.0),
    ("n", 11.0),
    ("Customers", 11.0),
    ("Standard error", 14.0),
    ("Degrees of freedom", 12.0),
    ("p", 9.0),
    ("q", 9.0),
    ("Notes", 40.0),
];

/// The column of values.
const VALUE: u16 = 10;

/// What stands on the summary sheet, in its order.
const SUMMARY: [(&str, &str, &str); 10] = [
    ("nps", "T3M", "cluster"),
    ("nps_change", "T3M", "cluster"),
    ("revenue", "T3M", "census"),
    ("revenue_growth", "T3M", "census_yoy"),
    ("nrr", "T6M", "ratio"),
    ("grr", "T6M", "ratio"),
    ("retention", "T3M", "wilson"),
    ("aov", "T3M", "ratio"),
    ("cost_to_serve", "T3M", "mean"),
    ("first_contact_resolution", "T3M", "wilson_cluster"),
];

/// The workbook of a publication.
///
/// # Errors
/// [`Error::Audit`] for what does not fit into a workbook.
pub(crate) fn workbook(summary: &Summary) -> Result<Vec<u8>> {
    made(summary).map_err(|error| Error::Audit(format!("the workbook cannot be made: {error}")))
}

fn made(summary: &Summary) -> std::result::Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    // The same numbers give the same bytes, so that no clock may be in them.
    let properties = DocProperties::new()
        .set_title(format!("Customer experience and revenue, {}", summary.period))
        .set_creation_datetime(&ExcelDateTime::from_ymd(2000, 1, 1)?);
    workbook.set_properties(&properties);
    let book = Book { summary, styles: Styles::new() };
    book.summary_sheet(workbook.add_worksheet())?;
    for (section, name) in SHEETS {
        let rows: Vec<&Row> = summary.estimates.iter().filter(|row| row.section == section).collect();
        let sheet = workbook.add_worksheet();
        sheet.set_name(name)?;
        book.rows(sheet, &rows)?;
        match section {
            "bridge" => book.bridge_chart(sheet, name, &rows)?,
            "initiative" => book.roi_chart(sheet, name, &rows)?,
            _ => {}
        }
    }
    book.restatements(workbook.add_worksheet())?;
    book.sources(workbook.add_worksheet())?;
    book.glossary(workbook.add_worksheet())?;
    workbook.save_to_buffer()
}

struct Styles {
    title: Format,
    head: Format,
    text: Format,
    /// Text right of numbers, which would touch them.
    beside: Format,
    quiet: Format,
    numbers: BTreeMap<&'static str, Format>,
}

impl Styles {
    fn new() -> Self {
        let number = |format: &str| Format::new().set_num_format(format);
        let numbers = [
            ("share", "0.0%"),
            ("money", "#,##0.00"),
            ("count", "#,##0"),
            ("points", "0.0"),
            ("ratio", "0.00"),
            ("other", "#,##0.00####"),
            ("p", "0.0000"),
        ];
        Self {
            title: Format::new().set_bold().set_font_size(16),
            head: Format::new()
                .set_bold()
                .set_text_wrap()
                .set_align(FormatAlign::Top)
                .set_border_bottom(FormatBorder::Thin),
            text: Format::new().set_text_wrap().set_align(FormatAlign::Top),
            beside: Format::new().set_indent(1),
            quiet: Format::new().set_font_color(Color::RGB(0x53_5C_6B)).set_text_wrap().set_align(FormatAlign::Top),
            numbers: numbers.into_iter().map(|(unit, format)| (unit, number(format))).collect(),
        }
    }

    fn of(&self, unit: &str) -> &Format {
        let kind = match unit {
            "share" | "points" | "ratio" => unit,
            "count" | "rows" | "months" => "count",
            _ if unit.starts_with("money") => "money",
            _ => "other",
        };
        &self.numbers[kind]
    }
}

struct Book<'a> {
    summary: &'a Summary<'a>,
    styles: Styles,
}

type Made<T = ()> = std::result::Result<T, XlsxError>;

impl<'a> Book<'a> {
    /// One printed page: what was found in sentences, the main indicators, and the programmes.
    fn summary_sheet(&self, sheet: &mut Worksheet) -> Made {
        let (summary, styles) = (self.summary, &self.styles);
        sheet.set_name("Summary")?.set_paper_size(9).set_print_fit_to_pages(1, 1);
        for (column, width) in [46.0, 15.0, 15.0, 15.0, 13.0, 18.0, 12.0, 18.0].into_iter().enumerate() {
            sheet.set_column_width(at(column), width)?;
        }
        sheet.write_string_with_format(
            0,
            0,
            format!("Customer experience and revenue, {}", summary.period),
            &styles.title,
        )?;
        let about = format!(
            "Number {} of this month, amounts in {}, months of {}. Run {}, cxroi {}.",
            summary.seq, summary.currency, summary.timezone, summary.run_id, summary.version
        );
        sheet.write_string(1, 0, about)?;
        let mut line = 2;
        if let Some(reason) = summary.incomplete {
            sheet.merge_range(line, 0, line, 7, &format!("THE MONTH IS NOT COMPLETE: {reason}"), &styles.text)?;
            line += 1;
        }
        line += 1;
        for sentence in &summary.headlines {
            sheet.merge_range(line, 0, line, 7, sentence, &styles.text)?;
            // Merged cells do not grow by themselves: 140 characters and more go into a line.
            sheet.set_row_height(line, 15.0 * (sentence.chars().count() as f64 / 140.0).ceil())?;
            line += 1;
        }
        line += 1;
        self.head(sheet, line, &["Indicator", "Value", "Low", "High", "Customers", "Status", "Grade", "Window"])?;
        for (metric, window, method) in SUMMARY {
            let is_it = |row: &&Row| {
                row.segment == ALL && (row.metric, row.window, row.method) == (metric, Some(window), method)
            };
            let Some(row) = summary.estimates.iter().find(is_it) else { continue };
            line += 1;
            sheet.write_string(line, 0, glossary::named(metric, window, method))?;
            self.number(sheet, line, 1, row.estimate.map(|known| known.value), row.unit)?;
            self.number(sheet, line, 2, row.estimate.and_then(|known| known.lo), row.unit)?;
            self.number(sheet, line, 3, row.estimate.and_then(|known| known.hi), row.unit)?;
            self.number(sheet, line, 4, row.customers.map(|customers| customers as f64), "count")?;
            for (column, text) in [(5, glossary::status(row.status)), (6, row.grade), (7, window)] {
                sheet.write_string_with_format(line, column, text, &styles.beside)?;
            }
        }
        let programmes: Vec<&Row> =
            summary.estimates.iter().filter(|row| (row.metric, row.method) == ("roi", "stratified")).collect();
        if !programmes.is_empty() {
            line += 2;
            self.head(sheet, line, &["Programme", "ROI", "Low", "High", "Cost", "Value", "Grade", "Status"])?;
        }
        for row in programmes {
            line += 1;
            let of = |metric: &str| {
                let found = summary.estimates.iter().find(|other| {
                    other.initiative == row.initiative
                        && other.metric == metric
                        && matches!(other.method, "census" | "stratified")
                });
                found.and_then(|found| found.estimate).map(|known| known.value)
            };
            sheet.write_string(line, 0, row.initiative.clone().unwrap_or_default())?;
            self.number(sheet, line, 1, row.estimate.map(|known| known.value), "ratio")?;
            self.number(sheet, line, 2, row.estimate.and_then(|known| known.lo), "ratio")?;
            self.number(sheet, line, 3, row.estimate.and_then(|known| known.hi), "ratio")?;
            self.number(sheet, line, 4, of("initiative_cost"), "money")?;
            self.number(sheet, line, 5, of("initiative_value"), "money")?;
            for (column, text) in [(6, row.grade), (7, glossary::status(row.status))] {
                sheet.write_string_with_format(line, column, text, &styles.beside)?;
            }
        }
        line += 2;
        let note = "Low and high bound the 95 % interval. Where a value cannot be known its cell is empty and the status says why. \
                    Only grade A says that something caused something.";
        sheet.merge_range(line, 0, line, 7, note, &styles.quiet)?;
        Ok(())
    }

    fn head(&self, sheet: &mut Worksheet, line: u32, names: &[&str]) -> Made {
        let right = self.styles.head.clone().set_align(FormatAlign::Right);
        let beside = self.styles.head.clone().set_indent(1);
        for (column, name) in names.iter().enumerate() {
            // Above numbers and beside them, as these stand.
            let style = match *name {
                "Status" | "Grade" | "Window" => &beside,
                name if column == 0 || matches!(name, "Name" | "Meaning") => &self.styles.head,
                _ => &right,
            };
            sheet.write_string_with_format(line, at(column), *name, style)?;
        }
        Ok(())
    }

    fn number(&self, sheet: &mut Worksheet, line: u32, column: u16, value: Option<f64>, unit: &str) -> Made {
        if let Some(value) = value {
            sheet.write_number_with_format(line, column, value, self.styles.of(unit))?;
        }
        Ok(())
    }

    /// A line a row, with filters, below a line of names that stays.
    fn rows(&self, sheet: &mut Worksheet, rows: &[&Row]) -> Made {
        let beside = self.styles.head.clone().set_indent(1);
        for (column, (name, width)) in COLUMNS.into_iter().enumerate() {
            let style = if matches!(column, 13..=16 | 23) { &beside } else { &self.styles.head };
            sheet.set_column_width(at(column), width)?;
            sheet.write_string_with_format(0, at(column), name, style)?;
        }
        let grades: Vec<String> = GRADES.iter().map(|(grade, meaning)| format!("{grade}: {meaning}")).collect();
        let notes = [
            ("Grade", grades.join("\n")),
            ("Status", "Why a value is empty: what cannot be known is never 0.".to_owned()),
            ("Low", "The 95 % interval: made in a way that holds what is estimated about 95 times of 100.".to_owned()),
            ("q", "False discovery rate within its family of tests.".to_owned()),
        ];
        for (name, text) in notes {
            let column = COLUMNS.iter().position(|(column, _)| *column == name).unwrap_or_default();
            sheet.insert_note(
                0,
                at(column),
                &Note::new(text).add_author_prefix(false).set_width(320).set_height(130),
            )?;
        }
        for (line, row) in (1..).zip(rows) {
            self.row(sheet, line, row)?;
        }
        sheet.set_freeze_panes(1, 2)?;
        let last = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        sheet.autofilter(0, 0, last, at(COLUMNS.len() - 1))?;
        sheet.set_landscape().set_paper_size(9).set_print_fit_to_pages(1, 0).set_repeat_rows(0, 0)?;
        Ok(())
    }

    fn row(&self, sheet: &mut Worksheet, line: u32, row: &Row) -> Made {
        let texts = [
            (0, Some(glossary::named_apart(row.metric, row.window.unwrap_or_default(), row.method))),
            (1, Some(row.metric.to_owned())),
            (2, row.window.map(str::to_owned)),
            (3, Some(row.segment.clone())),
            (4, row.score.map(str::to_owned)),
            (5, row.outcome.map(str::to_owned)),
            (6, row.band.map(str::to_owned)),
            (7, row.driver.clone()),
            (8, row.initiative.clone()),
            (13, Some(row.status.as_str().to_owned())),
            (14, Some(row.grade.to_owned())),
            (15, Some(row.unit.to_owned())),
            (16, Some(row.method.to_owned())),
            (23, Some(row.flags.join(", "))),
        ];
        for (column, text) in texts {
            let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
            if column > VALUE {
                sheet.write_string_with_format(line, column, text, &self.styles.beside)?;
            } else {
                sheet.write_string(line, column, text)?;
            }
        }
        let known = row.estimate;
        let numbers = [
            (9, row.lag.map(f64::from), "count"),
            (VALUE, known.map(|known| known.value), row.unit),
            (11, known.and_then(|known| known.lo), row.unit),
            (12, known.and_then(|known| known.hi), row.unit),
            (17, row.n.map(|n| n as f64), "count"),
            (18, row.customers.map(|customers| customers as f64), "count"),
            (19, known.and_then(|known| known.se), "other"),
            (20, known.and_then(|known| known.df), "other"),
        ];
        for (column, value, unit) in numbers {
            self.number(sheet, line, column, value, unit)?;
        }
        for (column, value) in [(21, known.and_then(|known| known.p)), (22, row.q)] {
            if let Some(value) = value {
                sheet.write_number_with_format(line, column, value, &self.styles.numbers["p"])?;
            }
        }
        Ok(())
    }

    /// The bridge of everybody as stacked columns, the lowest of which is not seen, over a table of formulas that hold it
    /// against the rows of the sheet.
    fn bridge_chart(&self, sheet: &mut Worksheet, name: &str, rows: &[&Row]) -> Made {
        const PARTS: [(&str, f64); 9] = [
            ("base", 0.0),
            ("churned", -1.0),
            ("contraction", -1.0),
            ("expansion", 1.0),
            ("new", 1.0),
            ("reactivated", 1.0),
            ("residual", 1.0),
            ("merged", 1.0),
            ("current", 0.0),
        ];
        let find = |metric: &str| rows.iter().position(|row| row.metric == metric && row.segment == ALL);
        let found = PARTS.iter().filter_map(|(metric, sign)| {
            let at = find(metric)?;
            Some((*metric, *sign, at, rows[at].estimate?.value))
        });
        let found: Vec<(&str, f64, usize, f64)> = found.collect();
        let sum: f64 =
            found.iter().map(|(metric, sign, _, value)| if *metric == "base" { *value } else { sign * value }).sum();
        // Without all that it takes to add up, too much is withheld to draw it.
        let adds_up = |last: &(&str, f64, usize, f64)| last.0 == "current" && (sum - last.3).abs() < 0.005;
        if !found.last().is_some_and(adds_up) {
            return Ok(());
        }
        let left = at(COLUMNS.len() + 1);
        for (column, title) in ["Bridge", "Not seen", "Total", "More", "Less", "Up to here"].into_iter().enumerate() {
            sheet.write_string_with_format(0, left + at(column), title, &self.styles.head)?;
        }
        sheet.set_column_width(left, 30.0)?;
        let money = &self.styles.numbers["money"];
        let letter = |column: u16| rust_xlsxwriter::utility::column_number_to_name(column);
        let mut height = 0.0;
        for (line, (metric, sign, place, value)) in (1_u32..).zip(&found) {
            sheet.write_string(line, left, glossary::name(metric))?;
            let before = height;
            height = if *sign == 0.0 { *value } else { height + sign * value };
            let cell = format!("{}{}", letter(VALUE), place + 2);
            let (total, more, less) = match (*sign == 0.0, height >= before) {
                (true, _) => (*value, 0.0, 0.0),
                (false, true) => (0.0, height - before, 0.0),
                (false, false) => (0.0, 0.0, before - height),
            };
            let unseen = if *sign == 0.0 { 0.0 } else { before.min(height) };
            let above = format!("{}{line}", letter(left + 5));
            let here = format!("{}{}", letter(left + 5), line + 1);
            let formulas = if *sign == 0.0 {
                ["0".to_owned(), cell.clone(), "0".to_owned(), "0".to_owned(), cell]
            } else {
                let signed = if *sign < 0.0 { format!("-{cell}") } else { cell };
                [
                    format!("MIN({above},{here})"),
                    "0".to_owned(),
                    format!("MAX({here}-{above},0)"),
                    format!("MAX({above}-{here},0)"),
                    format!("{above}+{signed}"),
                ]
            };
            for (column, (formula, result)) in formulas.into_iter().zip([unseen, total, more, less, height]).enumerate()
            {
                let formula = Formula::new(format!("={formula}")).set_result(result.to_string());
                sheet.write_formula_with_format(line, left + 1 + at(column), formula, money)?;
            }
        }
        let mut chart = Chart::new(ChartType::ColumnStacked);
        let last = at(found.len());
        for (column, colour) in [(1, None), (2, Some(0x6F_78_87)), (3, Some(0x3D_7A_2A)), (4, Some(0xB3_40_2E))] {
            let mut format = ChartFormat::new();
            match colour {
                Some(colour) => format.set_solid_fill(ChartSolidFill::new().set_color(Color::RGB(colour))),
                None => format.set_no_fill(),
            };
            let series = chart.add_series();
            series
                .set_name((name, 0, left + column))
                .set_categories((name, 1, left, u32::from(last), left))
                .set_values((name, 1, left + column, u32::from(last), left + column))
                .set_gap(40)
                .set_format(&mut format);
        }
        chart.title().set_name(&format!("Revenue bridge of six months, {}", self.summary.currency));
        chart.legend().set_hidden();
        chart.y_axis().set_num_format("#,##0");
        chart.set_width(760).set_height(380);
        sheet.insert_chart(u32::from(last) + 2, left, &chart)?;
        Ok(())
    }

    /// The return of each programme with its interval.
    fn roi_chart(&self, sheet: &mut Worksheet, name: &str, rows: &[&Row]) -> Made {
        let known: Vec<(&Row, [f64; 3])> = rows
            .iter()
            .filter(|row| (row.metric, row.method) == ("roi", "stratified"))
            .filter_map(|row| {
                let estimate = row.estimate?;
                Some((*row, [estimate.value, estimate.lo?, estimate.hi?]))
            })
            .collect();
        let Ok(last) = u32::try_from(known.len()) else { return Ok(()) };
        if last == 0 {
            return Ok(());
        }
        let left = at(COLUMNS.len() + 1);
        for (column, title) in ["Programme (grade)", "ROI", "Above", "Below"].into_iter().enumerate() {
            sheet.write_string_with_format(0, left + at(column), title, &self.styles.head)?;
        }
        sheet.set_column_width(left, 30.0)?;
        for (line, (row, [value, lo, hi])) in (1..).zip(&known) {
            sheet.write_string(
                line,
                left,
                format!("{} ({})", row.initiative.as_deref().unwrap_or_default(), row.grade),
            )?;
            for (column, number) in [*value, hi - value, value - lo].into_iter().enumerate() {
                self.number(sheet, line, left + 1 + at(column), Some(number), "ratio")?;
            }
        }
        let mut chart = Chart::new(ChartType::Bar);
        let [above, below] =
            [left + 2, left + 3].map(|column| ChartRange::new_from_range(name, 1, column, last, column));
        let mut bars = ChartErrorBars::new();
        bars.set_type(ChartErrorBarsType::Custom(above, below));
        let series = chart.add_series();
        series
            .set_name((name, 0, left + 1))
            .set_categories((name, 1, left, last, left))
            .set_values((name, 1, left + 1, last, left + 1))
            .set_format(ChartFormat::new().set_solid_fill(ChartSolidFill::new().set_color(Color::RGB(0x0B_63_A5))))
            .set_x_error_bars(&bars);
        chart.title().set_name("ROI with 95 % interval: 0 is break-even");
        chart.legend().set_hidden();
        chart.y_axis().set_reverse();
        chart.set_width(760).set_height(160 + 28 * last.min(60));
        sheet.insert_chart(last + 2, left, &chart)?;
        Ok(())
    }

    /// Every number that a publication of the month changed.
    fn restatements(&self, sheet: &mut Worksheet) -> Made {
        sheet.set_name("Restatements")?;
        let table = self.summary.restatements;
        let unit = table.column_by_name("unit").and_then(|column| column.as_string_opt::<i32>());
        for (column, field) in table.schema().fields().iter().enumerate() {
            let place = at(column);
            sheet.write_string_with_format(0, place, field.name(), &self.styles.head)?;
            sheet.set_column_width(place, 16)?;
            let values = table.column(column);
            for row in (0..table.num_rows()).filter(|row| values.is_valid(*row)) {
                let line = u32::try_from(row + 1).unwrap_or(u32::MAX);
                let count = match values.data_type() {
                    DataType::Int64 => Some(values.as_primitive::<Int64Type>().value(row) as f64),
                    DataType::Int32 => Some(f64::from(values.as_primitive::<Int32Type>().value(row))),
                    _ => None,
                };
                match values.data_type() {
                    DataType::Utf8 => {
                        sheet.write_string(line, place, values.as_string::<i32>().value(row))?;
                    }
                    DataType::Int32 | DataType::Int64 => self.number(sheet, line, place, count, "count")?,
                    DataType::Float64 => {
                        let value = values.as_primitive::<Float64Type>().value(row);
                        self.number(sheet, line, place, Some(value), unit.map_or("other", |unit| unit.value(row)))?;
                    }
                    _ => {
                        let inner = values.as_list_opt::<i32>().map(|list| list.value(row));
                        let words = inner.iter().filter_map(|list| list.as_string_opt::<i32>()).flatten().flatten();
                        let words: Vec<&str> = words.collect();
                        sheet.write_string(line, place, words.join(", "))?;
                    }
                }
            }
        }
        sheet.set_freeze_panes(1, 0)?;
        sheet.autofilter(0, 0, u32::try_from(table.num_rows()).unwrap_or(u32::MAX), at(table.num_columns() - 1))?;
        Ok(())
    }

    /// What became of every row that was read.
    fn sources(&self, sheet: &mut Worksheet) -> Made {
        sheet.set_name("Sources")?;
        let fates = Ledger::default().fates().map(|(name, _)| name);
        let head: Vec<&str> = ["Source", "Read"].into_iter().chain(fates).chain(["Check"]).collect();
        self.head(sheet, 0, &head)?;
        sheet.set_column_width(0, 18)?;
        for (line, (source, ledger)) in (1_u32..).zip(self.summary.ledgers) {
            let fates = ledger.fates().map(|(_, rows)| rows);
            sheet.write_string(line, 0, source.as_str())?;
            for (column, rows) in [ledger.read].into_iter().chain(fates).enumerate() {
                self.number(sheet, line, at(column + 1), Some(rows as f64), "count")?;
            }
            let rest = fates.iter().sum::<u64>();
            let check = Formula::new(format!("=B{0}-SUM(C{0}:K{0})", line + 1))
                .set_result((ledger.read as f64 - rest as f64).to_string());
            sheet.write_formula_with_format(line, 11, check, self.styles.of("count"))?;
        }
        sheet.set_freeze_panes(1, 1)?;
        Ok(())
    }

    fn glossary(&self, sheet: &mut Worksheet) -> Made {
        sheet.set_name("Glossary")?;
        self.head(sheet, 0, &["Metric", "Name", "Meaning"])?;
        for (column, width) in [34.0, 40.0, 90.0].into_iter().enumerate() {
            sheet.set_column_width(at(column), width)?;
        }
        let terms = TERMS.iter().map(|term| [term.metric, term.name, term.meaning]);
        let grades = GRADES.iter().map(|(grade, meaning)| ["grade", grade, meaning]);
        for (line, words) in (1..).zip(terms.chain(grades)) {
            for (column, word) in words.into_iter().enumerate() {
                sheet.write_string(line, at(column), word)?;
            }
        }
        sheet.set_freeze_panes(1, 0)?;
        Ok(())
    }
}

/// A column's number.
fn at(column: usize) -> u16 {
    u16::try_from(column).unwrap_or(u16::MAX)
}
