//! `cxroi sql`: one query, or a prompt for many.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::Utc;
use datafusion::dataframe::DataFrame;
use engine::{Analyst, Engine, Error, plural};
use futures::{StreamExt, TryStreamExt};
use rustyline::Helper;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;

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
    let (analyst, planned) = engine.analyst(Utc::now()).await?;
    if let Err(error) = planned {
        tracing::warn!("there are no facts to see: {error}");
    }
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
    analyst.query(query).await.map_err(|error| Error::Input(pointed(query, &error.strip_backtrace())).into())
}

/// An error, with the line of the query that it names and a mark below the place.
fn pointed(query: &str, error: &str) -> String {
    let place = error.split_once("Line: ").and_then(|(_, rest)| rest.split_once(", Column: "));
    let place = place.and_then(|(line, rest)| {
        let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some((line.parse::<usize>().ok()?.checked_sub(1)?, column.parse::<usize>().ok()?.checked_sub(1)?))
    });
    match place.and_then(|(line, column)| Some((query.lines().nth(line)?, column))) {
        Some((line, column)) if line.len() < 500 => format!("{error}\n{line}\n{:>width$}", '^', width = column + 1),
        _ => error.to_owned(),
    }
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

/// What the tab key completes: tables, columns, functions and the words of SQL.
struct Words(Vec<String>);

impl Words {
    async fn of(analyst: &Analyst) -> Result<Self> {
        const SQL: &str = "select from where group by order limit having join left inner on with as distinct case when then else end \
                           and or not in is null between like cast count sum avg min max";
        let known = "select table_schema || '.' || table_name as word from information_schema.tables \
                     union select column_name from information_schema.columns where table_schema <> 'information_schema' \
                     union select routine_name from information_schema.routines order by word";
        let mut words: Vec<String> = SQL.split_whitespace().map(str::to_owned).collect();
        for batch in analyst.query(known).await?.collect().await? {
            let texts = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
            words.extend(texts.as_string::<i32>().iter().flatten().map(str::to_owned));
        }
        Ok(Self(words))
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &rustyline::Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let is_part = |letter: char| letter.is_alphanumeric() || "_.$".contains(letter);
        let start = line[..at].char_indices().rev().take_while(|(_, letter)| is_part(*letter)).last();
        let start = start.map_or(at, |(start, _)| start);
        let begun = line[start..at].to_lowercase();
        let fits = self.0.iter().filter(|word| !begun.is_empty() && word.starts_with(&begun));
        Ok((start, fits.cloned().collect()))
    }
}

impl Helper for Words {}
impl Highlighter for Words {}
impl Hinter for Words {
    type Hint = String;
}
impl Validator for Words {}

/// What a line that begins with a backslash asks for, as a query.
fn described(line: &str) -> Option<String> {
    let table = line.trim().trim_end_matches(';').strip_prefix("\\d")?.trim();
    if table.is_empty() {
        return Some(
            "select table_schema || '.' || table_name as \"table\" from information_schema.tables \
                     where table_schema <> 'information_schema' order by 1"
                .to_owned(),
        );
    }
    let (schema, name) = table.split_once('.').unwrap_or(("%", table));
    let [schema, name] = [schema, name].map(|part| part.replace('\'', "''"));
    Some(format!(
        "select table_schema || '.' || table_name as \"table\", column_name, data_type, is_nullable from information_schema.columns \
         where table_schema like '{schema}' and table_name = '{name}' order by table_schema, ordinal_position"
    ))
}

async fn prompt(analyst: &Analyst) -> Result<()> {
    say(&format!(
        "cxroi {}: read-only SQL; end a query with `;`. \\d lists the tables, \\d TABLE its columns, tab completes, ctrl-D leaves.\n",
        engine::VERSION
    ))?;
    let mut editor = rustyline::Editor::<Words, rustyline::history::FileHistory>::new()?;
    editor.set_helper(Some(Words::of(analyst).await?));
    // Without a home the history ends with the prompt.
    let history = std::env::home_dir().map(|home| home.join(".cxroi_history"));
    if let Some(history) = &history {
        let _ = editor.load_history(history);
    }
    let ended = read(analyst, &mut editor).await;
    if let Some(history) = &history {
        let _ = editor.save_history(history);
    }
    ended
}

async fn read(analyst: &Analyst, editor: &mut rustyline::Editor<Words, rustyline::history::FileHistory>) -> Result<()> {
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
        let described = described(&line).filter(|_| query.is_empty());
        if described.is_none() {
            query.push_str(&line);
            query.push('\n');
            if !line.trim_end().ends_with(';') {
                continue;
            }
        }
        let asked = if described.is_some() { line.trim_end() } else { query.trim_end() };
        editor.add_history_entry(asked)?;
        if let Err(error) = answer(analyst, described.as_deref().unwrap_or(&query)).await {
            say(&format!("{}\n", crate::said(&error)))?;
        }
        query.clear();
    }
}

async fn answer(analyst: &Analyst, query: &str) -> Result<()> {
    let started = Instant::now();
    let batches = plan(analyst, query).await?.limit(0, Some(SHOWN + 1))?.collect().await?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let more = if rows > SHOWN { "the first " } else { "" };
    let word = plural(rows, "row", "rows");
    let seconds = started.elapsed().as_secs_f64();
    paged(&format!(
        "{}\n{more}{rows} {word} in {seconds:.2} s\n",
        arrow::util::pretty::pretty_format_batches(&batches)?
    ))
}

/// Shows a text in the pager that `PAGER` names, or in `less`; if there is no pager, or no terminal, prints it as it
/// is.
fn paged(text: &str) -> Result<()> {
    // `less` is to end by itself if one screen is enough (F), to scroll over wide rows (S), and to leave on the screen
    // what it showed (X).
    let pager = std::env::var("PAGER").unwrap_or_default();
    let mut words = pager.split_whitespace();
    let (program, arguments) = words.next().map_or(("less", vec!["-FSX"]), |program| (program, words.collect()));
    let started = match std::io::stdout().is_terminal() {
        true => Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().ok(),
        false => None,
    };
    let Some(mut shown) = started else { return say(text) };
    if let Some(mut input) = shown.stdin.take() {
        // Who leaves the pager has seen enough.
        let _ = input.write_all(text.as_bytes());
    }
    shown.wait().context("cannot wait for the pager")?;
    Ok(())
}
