//! `cxroi` on the command line: what did customer experience do to our money this month, and how sure are we?

mod arguments;
mod demo;
mod init;
mod prompt;
mod show;
mod whatif;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context, Result};
use bytes::Bytes;
use chrono::{Duration, Utc};
use clap::{CommandFactory, Parser};
use datafusion::error::DataFusionError;
use engine::{Check, Config, Engine, Error, Month, Outcome, Pointer, Progress, Stores, figure, plural};
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::{Arguments, Command, Lake};

fn main() -> ExitCode {
    /// Planning goes as deep as a query does: a long chain of `or` is no reason to die.
    const STACK: usize = 512 << 20;
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("CXROI_LOG").unwrap_or_else(|_| "warn".into()))
        .init();
    // What gave up is said once, in an error; where it did is for whoever mends it.
    std::panic::set_hook(Box::new(|panic| tracing::info!("{panic}")));
    let run = || -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK / 8).enable_all().build()?;
        runtime.block_on(perform(arguments.command))
    };
    let ended = std::thread::Builder::new().stack_size(STACK).spawn(run).map(std::thread::JoinHandle::join);
    let ended = match ended {
        Ok(Ok(ended)) => ended,
        Ok(Err(_)) => Err(anyhow::anyhow!("this should not have happened; CXROI_LOG=info says where it did")),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(code) => code,
        Err(error) if reader_left(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_configuration(&said(&error), std::env::args_os()));
            exit_code(&error)
        }
    }
}

/// Whoever reads the output has seen enough and left: that is no failure.
fn reader_left(error: &anyhow::Error) -> bool {
    let broken_pipe = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    // Arrow's writers keep the cause as text only.
    error.chain().any(|cause| cause.downcast_ref().is_some_and(broken_pipe))
        || error.to_string().contains("Broken pipe")
}

/// An error in words. Of a query they are those of its cause: whatever passed it on says them again.
fn said(error: &anyhow::Error) -> String {
    match error.downcast_ref::<DataFusionError>() {
        Some(error) => error.find_root().strip_backtrace(),
        None => format!("{error:#}"),
    }
}

/// A message whose commands can be typed as they are: with the configuration that was named on this command line.
fn with_configuration(message: &str, typed: impl IntoIterator<Item = OsString>) -> String {
    let words = typed.into_iter().map(|word| word.to_string_lossy().into_owned());
    let mut words = words.skip_while(|word| word != "--config" && !word.starts_with("--config="));
    let named = words.next().and_then(|word| match word.split_once('=') {
        Some((_, config)) => Some(config.to_owned()),
        None => words.next(),
    });
    let Some(config) = named else { return message.to_owned() };
    ["check", "close", "plan", "run", "show", "sql", "verify"].iter().fold(message.to_owned(), |message, command| {
        let [bare, with] = [format!("`cxroi {command}"), format!("`cxroi {command} --config {config}")];
        [' ', '`']
            .iter()
            .fold(message, |message, end| message.replace(&format!("{bare}{end}"), &format!("{with}{end}")))
    })
}

/// 1 failed, 2 bad input or configuration, 3 data not ready.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match error.downcast_ref::<Error>() {
        Some(Error::Config { .. } | Error::Input(_) | Error::Damaged { .. } | Error::Closed { .. }) => 2,
        Some(Error::NotReady(_)) => 3,
        _ => 1,
    })
}

async fn perform(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo { folder, customers } => demo::run(&folder, customers).await?,
        Command::Init { lake, output } => {
            show::say(
                &init::run(&resolve(&format!("{}/", lake.trim_end_matches('/')))?, &output, &Stores::default()).await?,
            )?;
        }
        Command::Check { lake } => return check(&lake).await,
        Command::Plan { lake, period, estimate } => {
            let (engine, now) = (open(&lake).await?, Utc::now());
            let plan = engine.plan(period, now).await?;
            show::say(&show::plan(&engine, &plan, now))?;
            if estimate {
                show::say(&show::expected(&engine.expected(&plan)))?;
            }
        }
        Command::Run { lake, period, output, refresh_dimensions, refresh_version } => {
            let refresh = Refresh { dimensions: refresh_dimensions, version: refresh_version };
            run(&lake, output.as_deref(), period, refresh).await?;
        }
        Command::Show { lake, period, segments, section, json, csv } => {
            let stores = Stores::default();
            let (pointer, summary) =
                engine::summary(&configuration(&lake, None, &stores).await?, &stores, period).await?;
            let wanted = show::Wanted { section, segments };
            show::say(&match (json, csv) {
                (true, _) => show::summary_as_json(&summary, wanted)?,
                (_, true) => show::summary_as_csv(&summary, wanted)?,
                _ => show::summary(&pointer, &summary, wanted)?,
            })?;
        }
        Command::Whatif { lake, period, what } => {
            let stores = Stores::default();
            let (_, summary) = engine::summary(&configuration(&lake, None, &stores).await?, &stores, period).await?;
            show::say(&whatif::answer(&summary, &what)?)?;
        }
        Command::Close { lake, period, reopen } => {
            let stores = Stores::default();
            let config = configuration(&lake, None, &stores).await?;
            let pointer = engine::close(&config, &stores, period, !reopen, Utc::now()).await?;
            let since = pointer.closed_at.map(|at| format!(" since {}", at.format("%Y-%m-%d %H:%M UTC")));
            let state = if pointer.closed { "closed" } else { "open again" };
            let state = format!("{state}{}", since.unwrap_or_default());
            show::say(&format!("{period} is {state}, published as number {}\n", pointer.seq))?;
            if pointer.closed {
                let summary = engine::summary(&config, &stores, Some(period)).await.map_err(anyhow::Error::from);
                match summary.and_then(|(_, summary)| Ok(signed(&summary)? + &show::untied(&summary)?)) {
                    Ok(told) => show::say(&told)?,
                    // Closed it is all the same.
                    Err(error) => eprintln!("whether {period} ties out with the ledger is not known: {error:#}"),
                }
            }
        }
        Command::Runs { lake, period } => {
            let stores = Stores::default();
            let config = configuration(&lake, None, &stores).await?;
            show::say(&show::publications(&engine::publications(&config, &stores, period).await?))?;
        }
        Command::Pull { lake, period, to } => {
            let stores = Stores::default();
            let config = configuration(&lake, None, &stores).await?;
            let (period, pointer, files) = engine::pull(&config, &stores, period).await?;
            let folder = to.unwrap_or_else(|| period.clone().into());
            write_all(&folder, &files)?;
            let Pointer { seq, run_id, .. } = &pointer;
            let (count, folder) = (files.len(), folder.display());
            show::say(&format!(
                "{period}, number {seq}, run {run_id}: {count} {} in {folder}, each as it was published\n",
                plural(count, "file", "files")
            ))?;
        }
        Command::Share { lake, period, expires_in } => {
            let stores = Stores::default();
            let config = configuration(&lake, None, &stores).await?;
            let valid = std::time::Duration::from_secs(u64::from(expires_in) * 3_600);
            let (period, links) = engine::links(&config, &stores, period, valid).await?;
            show::say(&format!("{period}, for {expires_in} {}:\n", plural(expires_in, "hour", "hours")))?;
            for (name, link) in links {
                show::say(&format!("{name}\n  {link}\n"))?;
            }
        }
        Command::Verify { lake, period } => {
            let stores = Stores::default();
            let verified = engine::verify(&configuration(&lake, None, &stores).await?, &stores, period).await?;
            show::say(&show::verified(&verified))?;
            let broken = verified.values().any(|(_, problems)| !problems.is_empty());
            return Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        Command::Gc { lake, dry_run, older_than } => {
            let stores = Stores::default();
            let config = configuration(&lake, None, &stores).await?;
            let age = Duration::days(i64::from(older_than));
            let unused = engine::collect_garbage(&config, &stores, age, Utc::now(), dry_run).await?;
            show::say(&show::unused(&unused, dry_run))?;
        }
        Command::Forget { lake, dry_run, customers } => {
            let stores = Stores::default();
            let config = configuration(&lake, None, &stores).await?;
            let now = (!dry_run).then(Utc::now);
            let found = engine::forget(&config, &stores, &customers.into_iter().collect(), now).await?;
            show::say(&show::forgotten(found, dry_run))?;
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "cxroi", &mut script);
            show::say(&String::from_utf8(script)?)?;
        }
        Command::Man { command } => show::say(&manual(command)?)?,
        Command::Sql { lake, command, file, format, output, time_limit } => {
            let engine = open(&lake).await?;
            prompt::bound(engine.memory(), time_limit.filter(|_| command.is_some() || file.is_some()));
            prompt::sql(&engine, command, file, format, output).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is signed: the month's revenue, with finance's and the difference where the ledger has the month.
fn signed(json: &str) -> Result<String> {
    let summary: serde_json::Value = serde_json::from_str(json).context("the summary is not JSON")?;
    let of_month = |metric: &str| {
        let is_it =
            |row: &&serde_json::Value| row["metric"] == metric && row["window"] == "MONTH" && row["segment"] == "(all)";
        summary["estimates"].as_array()?.iter().find(is_it)?["value"].as_f64()
    };
    let told = |amount: f64| figure(amount, "money", summary["currency"].as_str().unwrap_or_default());
    let Some(revenue) = of_month("revenue") else { return Ok(String::new()) };
    Ok(match of_month("revenue_reconciliation") {
        Some(off) => {
            let (ledger, off) = (told(revenue - off), told(off));
            format!("revenue {}, finance's ledger {ledger}, difference {off}\n", told(revenue))
        }
        None => format!("revenue {}; the ledger does not have the month\n", told(revenue)),
    })
}

/// The manual page of the program, or of a command, for `man`.
fn manual(command: Option<String>) -> Result<String> {
    let mut program = Arguments::command();
    program.build();
    let page = match &command {
        None => program,
        Some(name) => program
            .find_subcommand(name)
            .ok_or_else(|| Error::Input(format!("there is no command `{name}`; `cxroi --help` lists them")))?
            .clone(),
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    Ok(String::from_utf8(text)?)
}

/// Writes files into a folder, each whole or not at all.
fn write_all(folder: &Path, files: &[(String, Bytes)]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for (name, bytes) in files {
        let path = folder.join(name);
        let part = folder.join(format!(".{name}.part"));
        let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, &path));
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The URL of a path or URL that was typed.
fn resolve(text: &str) -> Result<url::Url> {
    let here = url::Url::from_directory_path(std::env::current_dir().context("there is no current folder")?)
        .map_err(|()| anyhow::anyhow!("the current folder has no absolute path"))?;
    Ok(engine::config::resolve(text, &here)
        .map_err(|error| Error::Input(format!("`{text}` is not a path or URL: {error}")))?)
}

async fn configuration(lake: &Lake, output: Option<&str>, stores: &Stores) -> Result<Config> {
    let mut config = Config::load(&resolve(&lake.config)?, stores).await?;
    if let Some(output) = output {
        config.output = resolve(&format!("{}/", output.trim_end_matches('/')))?;
    }
    Ok(config)
}

async fn open(lake: &Lake) -> Result<Engine> {
    let stores = Stores::default();
    Ok(Engine::open(configuration(lake, None, &stores).await?, &stores).await?)
}

/// What a period that is published already may see as it is today.
#[derive(Debug, Clone, Copy, Default)]
struct Refresh {
    dimensions: bool,
    version: bool,
}

/// Runs one month, or without one everything that is due, as a schedule does; says what became of each.
async fn run(lake: &Lake, output: Option<&str>, period: Option<Month>, refresh: Refresh) -> Result<()> {
    let stores = Stores::default();
    let config = configuration(lake, output, &stores).await?;
    let now = Utc::now();
    let one = async |period: Option<Month>| {
        let outcome = run_one(&config, &stores, period, refresh).await?;
        show::say(&format!("{}\n", show::outcome(&outcome)))
    };
    if period.is_some() || refresh.dimensions || refresh.version {
        return one(period).await;
    }
    let engine = Engine::open(config.clone(), &stores).await?;
    let due = engine.due(now).await?;
    // First, as months that are published say it of an earlier one that they compare with.
    watch(async |progress| engine.make_facts_of_kept(&due, progress).await).await?;
    let keep: Vec<Month> = due.keep.iter().map(|plan| plan.period).collect();
    engine.mark_stale(&keep, now).await?;
    let mut published = false;
    for plan in &due.publish {
        // Whether its facts are what they were is seen once they are made.
        let is_due = async |progress: &_| engine.is_due(plan.period, now, progress).await;
        if plan.to_read().next().is_some() && !watch(is_due).await? {
            continue;
        }
        published = true;
        match one(Some(plan.period)).await {
            // Somebody closed it meanwhile: that is no failure of the others.
            Err(error) if matches!(error.downcast_ref(), Some(Error::Closed { .. })) => eprintln!("{error:#}"),
            result => result?,
        }
    }
    if !published {
        let (period, pointer) = engine::newest(&config, &stores).await?;
        show::say(&format!("{}\n", show::nothing_due(&period, &pointer)))?;
    }
    Ok(())
}

/// Runs a month; where another writer publishes meanwhile, looks at the lake again, a few times.
async fn run_one(config: &Config, stores: &Stores, period: Option<Month>, refresh: Refresh) -> Result<Outcome> {
    const TRIES: usize = 3;
    let open = async || {
        let engine = Engine::open(config.clone(), stores).await?;
        let engine = if refresh.dimensions { engine.refreshing_dimensions() } else { engine };
        Ok::<_, Error>(if refresh.version { engine.refreshing_version() } else { engine })
    };
    for _ in 1..TRIES {
        let engine = open().await?;
        match watch(async |progress| engine.run(period, Utc::now(), progress).await).await {
            Err(Error::Conflict(period)) => eprintln!("another writer published {period} meanwhile: planning again"),
            result => return Ok(result?),
        }
    }
    let engine = open().await?;
    Ok(watch(async |progress| engine.run(period, Utc::now(), progress).await).await?)
}

/// Works with a progress bar on a terminal and plain lines elsewhere.
async fn watch<T>(work: impl AsyncFnOnce(&(dyn Fn(Progress) + Sync)) -> engine::Result<T>) -> engine::Result<T> {
    let bar = Mutex::new(ProgressBar::hidden());
    let terminal = std::io::stderr().is_terminal();
    let watch = |progress: Progress| {
        let mut bar = bar.lock().expect("no holder of this lock panics");
        match progress {
            Progress::Planned { period, read, months } => {
                eprintln!("{period}: {read} of {months} {} to read", plural(months, "month", "months"));
                if terminal && read > 0 {
                    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} months, {msg}, {elapsed}");
                    *bar = ProgressBar::new(read as u64).with_style(style.expect("a fixed template"));
                }
            }
            Progress::RolledUp { month, rows } if terminal => {
                bar.set_message(format!("{month}: {rows} {}", plural(rows, "row", "rows")));
                bar.inc(1);
            }
            Progress::RolledUp { month, rows } => eprintln!("  {month}: {rows} {}", plural(rows, "row", "rows")),
            Progress::Measuring => bar.finish_and_clear(),
        }
    };
    let outcome = work(&watch).await;
    bar.lock().expect("no holder of this lock panics").finish_and_clear();
    outcome
}

/// Prints what every check finds, or that there was nothing to look at; the exit code says whether anything was found but warnings.
async fn check(lake: &Lake) -> Result<ExitCode> {
    /// Rows shown of what a check finds.
    const SHOWN: usize = 10;
    let (stores, now) = (Stores::default(), Utc::now());
    let config = configuration(lake, None, &stores).await?;
    let mut sound = true;
    for (claim, found) in engine::prove_store(&config, &stores, now).await? {
        sound &= found.is_none();
        let state = if found.is_none() { "ok" } else { "found" };
        show::say(&format!(
            "{state:<10} store: {claim}{}\n",
            found.map(|found| format!(" {found}")).unwrap_or_default()
        ))?;
    }
    let engine = Engine::open(config, &stores).await?;
    let (analyst, plan) = engine.analyst(now).await?;
    match plan {
        Ok(plan) => show::say(&show::plan(&engine, &plan, now))?,
        Err(error) => {
            sound = false;
            show::say(&format!("found      {error}\n"))?;
        }
    }
    for Check { name, claim, rows, is_warning, about, nothing, more } in engine.checks(&analyst).await? {
        let (first, count) = engine.found(&name, rows, SHOWN).await?;
        let is_about_nothing = count == 0 && engine.found(&name, about.limit(0, Some(1))?, 1).await?.1 == 0;
        let state = match (count, is_warning) {
            (0, _) if is_about_nothing => "none",
            (0, _) => "ok",
            (_, true) => "warning",
            (_, false) => "found",
        };
        let why = if is_about_nothing { format!(" Nothing to compare: {nothing}.") } else { String::new() };
        show::say(&format!("{state:<10} {name}: {claim}{why}\n"))?;
        sound &= count == 0 || is_warning;
        if count > 0 {
            show::say(&format!("{}\n", arrow::util::pretty::pretty_format_batches(&first)?))?;
        }
        if count > SHOWN {
            show::say(&format!("           the first {SHOWN} of {count}\n"))?;
        }
        if let Some(more) = more {
            let (all, count) = engine.found(&name, more, usize::MAX).await?;
            if count > 0 {
                show::say(&format!(
                    "           of every month:\n{}\n",
                    arrow::util::pretty::pretty_format_batches(&all)?
                ))?;
            }
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

#[cfg(test)]
mod tests {
    use datafusion::error::DataFusionError;

    use super::{said, signed, with_configuration};

    #[test]
    fn an_error_of_a_query_is_said_once() {
        let cause = DataFusionError::Plan("LIMIT must be >= 0".to_owned());
        let error = cause.context("Optimizer rule 'eliminate_limit' failed");
        assert_eq!(said(&error.into()), "Error during planning: LIMIT must be >= 0");
        assert_eq!(said(&anyhow::anyhow!("no").context("cannot")), "cannot: no");
    }

    #[test]
    fn commands_of_a_message_name_the_configuration_that_was_typed() {
        let told = |typed: &str| {
            let message = "`cxroi sql -c \"select 1\"` shows them, `cxroi run` publishes, `cxroi runs` lists";
            with_configuration(message, typed.split(' ').map(Into::into))
        };
        let named = "`cxroi sql --config a/b.toml -c \"select 1\"` shows them, `cxroi run --config a/b.toml` publishes, \
                     `cxroi runs` lists";
        assert_eq!(told("cxroi run --config a/b.toml --period 2024-12"), named);
        assert_eq!(told("cxroi run --config=a/b.toml"), named);
        assert_eq!(
            told("cxroi run"),
            "`cxroi sql -c \"select 1\"` shows them, `cxroi run` publishes, `cxroi runs` lists"
        );
    }

    #[test]
    fn a_sign_off_hears_the_revenue_and_the_ledger_also_within_the_tolerance() {
        let told = |rows: &str| {
            let revenue = r#"{"metric": "revenue", "window": "MONTH", "segment": "(all)", "value": 1234.5}"#;
            signed(&format!(r#"{{"currency": "EUR", "estimates": [{revenue}{rows}]}}"#)).unwrap()
        };
        let tied = r#", {"metric": "revenue_reconciliation", "window": "MONTH", "segment": "(all)", "value": -0.5}"#;
        assert_eq!(told(tied), "revenue 1,234.50 EUR, finance's ledger 1,235.00 EUR, difference -0.50 EUR\n");
        assert_eq!(told(""), "revenue 1,234.50 EUR; the ledger does not have the month\n");
        assert_eq!(signed(r#"{"estimates": []}"#).unwrap(), "");
    }
}
