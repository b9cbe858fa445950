//! `cxroi sql`: one query, or a prompt for many.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::Utc;
use datafusion::dataframe::DataFrame;
use engine::{Analyst, Engine, Error};
use futures::{StreamExt, TryStreamExt};
use rustyline::error::ReadlineError;

use crate::arguments::Format;
use crate::show::say;

/// Rows that the prompt shows of a result.
const SHOWN: usize = 200;

/// Ends the process where a query goes on for too long, or takes memory that no pool counts: planning, and functions that make
/// a large value of a small one. It only reads, so nothing is half done.
pub(crate) fn bound(memory: usize, seconds: Option<u64>) {
    /// Bytes beside the pool: the program, files that are read, the result.
    const BESIDE: usize = 1 << 30;
    let most = memory.saturating_add(BESIDE);
    let started = Instant::now();
    std::thread::spawn(move || {
        let reason = loop {
            std::thread::sleep(Duration::from_millis(20));
            if let Some(seconds) = seconds.filter(|seconds| started.elapsed().as_secs() >= *seconds) {
                break format!("it went on for {seconds} s; `--time-limit` lets it go on longer");
            }
            if engine::peak_memory().is_some_and(|bytes| bytes > most) {
                break format!("it took more than {} MB; `run.memory_limit` allows for more", most >> 20);
            }
        };
        eprintln!("error: the query was stopped: {reason}");
        std::process::exit(1);
    });
}

pub(crate) async fn sql(
    engine: &Engine,
    command: Option<String>,
    file: Option<PathBuf>,
    format: Format,
    output: Option<PathBuf>,
) -> Result<()> {
    if format == Format::Parquet && output.is_none() {
        return Err(Error::Input("--format parquet needs --output FILE".to_owned()).into());
    }
    let analyst = engine.analyst(Utc::now()).await?;
    let query = match (command, file) {
        (Some(query), _) => query,
        (None, Some(file)) => {
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?
        }
        (None, None) if std::io::stdin().is_terminal() => return prompt(&analyst).await,
        (None, None) => std::io::read_to_string(std::io::stdin()).context("cannot read standard input")?,
    };
    let rows = plan(&analyst, &query).await?;
    match output {
        Some(path) => {
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            print(rows, format, file).await
        }
        None => print(rows, format, std::io::stdout()).await,
    }
}

async fn plan(analyst: &Analyst, query: &str) -> Result<DataFrame> {
    analyst.query(query).await.map_err(|error| Error::Input(error.strip_backtrace()).into())
}

/// Streams the result, so that a large one needs no memory; a table is laid out whole.
async fn print(rows: DataFrame, format: Format, mut to: impl Write + Send) -> Result<()> {
    let mut stream = rows.execute_stream().await?;
    let schema = stream.schema();
    if format == Format::Table {
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        let batches = if batches.is_empty() { vec![RecordBatch::new_empty(schema)] } else { batches };
        writeln!(to, "{}", arrow::util::pretty::pretty_format_batches(&batches)?)?;
        return Ok(());
    }
    match format {
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(&mut to);
            writer.write(&flat(&RecordBatch::new_empty(schema))?)?;
            while let Some(batch) = stream.next().await {
                writer.write(&flat(&batch?)?)?;
            }
        }
        Format::Json => {
            let mut writer = arrow::json::LineDelimitedWriter::new(&mut to);
            while let Some(batch) = stream.next().await {
                writer.write(&batch?)?;
            }
            writer.finish()?;
        }
        Format::Parquet => {
            let mut writer = parquet::arrow::ArrowWriter::try_new(to, schema, None)?;
            while let Some(batch) = stream.next().await {
                writer.write(&batch?)?;
            }
            writer.close()?;
        }
        Format::Table => bail!("laid out above"),
    }
    Ok(())
}

/// CSV has no lists: they become the text that a table would show.
fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if !field.data_type().is_nested() {
            return Ok((field.name().clone(), Arc::clone(column)));
        }
        let cells = ArrayFormatter::try_new(column, &FormatOptions::default())?;
        let texts: StringArray = (0..column.len()).map(|row| Some(cells.value(row).to_string())).collect();
        Ok((field.name().clone(), Arc::new(texts) as ArrayRef))
    });
    Ok(RecordBatch::try_from_iter(columns.collect::<Result<Vec<_>>>()?)?)
}

async fn prompt(analyst: &Analyst) -> Result<()> {
    say(&format!(
        "cxroi {}: read-only SQL; end a query with `;`. `show tables;` lists what there is, ctrl-D leaves.\n",
        engine::VERSION
    ))?;
    let mut editor = rustyline::DefaultEditor::new()?;
    let mut query = String::new();
    loop {
        let line = match editor.readline(if query.is_empty() { "cxroi> " } else { "   ... " }) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                query.clear();
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if query.is_empty() && ["exit", "quit", "\\q"].contains(&line.trim().trim_end_matches(';')) {
            return Ok(());
        }
        query.push_str(&line);
        query.push('\n');
        if !line.trim_end().ends_with(';') {
            continue;
        }
        editor.add_history_entry(query.trim_end())?;
        if let Err(error) = answer(analyst, &query).await {
            say(&format!("{error:#}\n"))?;
        }
        query.clear();
    }
}

async fn answer(analyst: &Analyst, query: &str) -> Result<()> {
    let started = Instant::now();
    let batches = plan(analyst, query).await?.limit(0, Some(SHOWN + 1))?.collect().await?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let more = if rows > SHOWN { format!("the first {} rows", SHOWN + 1) } else { format!("{rows} rows") };
    let seconds = started.elapsed().as_secs_f64();
    say(&format!("{}\n{more} in {seconds:.2} s\n", arrow::util::pretty::pretty_format_batches(&batches)?))
}
