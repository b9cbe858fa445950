//! `cxroi` on the command line: what did customer experience do to our money this month, and how sure are we?

mod arguments;
mod demo;
mod prompt;
mod show;

use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context, Result};
use chrono::Utc;
use clap::Parser;
use engine::{Config, Engine, Error, Outcome, Progress, Stores};
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::{Arguments, Command, Lake};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("CXROI_LOG").unwrap_or_else(|_| "warn".into()))
        .init();
    match perform(arguments.command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            exit_code(&error)
        }
    }
}

/// 1 failed, 2 bad input or configuration, 3 data not ready.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(match error.downcast_ref::<Error>() {
        Some(Error::Config { .. } | Error::Input(_)) => 2,
        Some(Error::NotReady(_)) => 3,
        _ => 1,
    })
}

async fn perform(command: Command) -> Result<ExitCode> {
    match command {
        Command::Demo { folder, customers } => demo::run(&folder, customers).await?,
        Command::Check { lake } => return check(&open(&lake, None).await?).await,
        Command::Plan { lake, period } => plan(&open(&lake, None).await?, period).await?,
        Command::Run { lake, period, output } => {
            let outcome = run(&open(&lake, output.as_deref()).await?, period).await?;
            println!("{}", show::outcome(&outcome));
        }
        Command::Show { lake, period, segments } => {
            let engine = open(&lake, None).await?;
            print!("{}", show::summary(&engine.summary(period).await?, segments)?);
        }
        Command::Sql { lake, command, file, format, output } => {
            prompt::sql(&open(&lake, None).await?, command, file, format, output).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn open(lake: &Lake, output: Option<&str>) -> Result<Engine> {
    let here = url::Url::from_directory_path(std::env::current_dir().context("there is no current folder")?)
        .map_err(|()| anyhow::anyhow!("the current folder has no absolute path"))?;
    let resolve = |text: &str| {
        engine::config::resolve(text, &here).map_err(|error| Error::Input(format!("`{text}` is not a path or URL: {error}")))
    };
    let stores = Stores::default();
    let mut config = Config::load(&resolve(&lake.config)?, &stores).await?;
    if let Some(output) = output {
        config.output = resolve(&format!("{}/", output.trim_end_matches('/')))?;
    }
    Ok(Engine::open(config, &stores).await?)
}

/// Runs with a progress bar on a terminal and plain lines elsewhere.
async fn run(engine: &Engine, period: Option<engine::Month>) -> Result<Outcome> {
    let bar = Mutex::new(ProgressBar::hidden());
    let terminal = console_is_terminal();
    let watch = |progress: Progress| {
        let mut bar = bar.lock().expect("no holder of this lock panics");
        match progress {
            Progress::Planned { period, read, months } => {
                eprintln!("{period}: {read} of {months} months to read");
                if terminal && read > 0 {
                    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} months, {msg}, {elapsed}");
                    *bar = ProgressBar::new(read as u64).with_style(style.expect("a fixed template"));
                }
            }
            Progress::RolledUp { month, rows } if terminal => {
                bar.set_message(format!("{month}: {rows} rows"));
                bar.inc(1);
            }
            Progress::RolledUp { month, rows } => eprintln!("  {month}: {rows} rows"),
            Progress::Measuring => bar.finish_and_clear(),
        }
    };
    let outcome = engine.run(period, Utc::now(), &watch).await;
    bar.lock().expect("no holder of this lock panics").finish_and_clear();
    Ok(outcome?)
}

fn console_is_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal()
}

async fn plan(engine: &Engine, period: Option<engine::Month>) -> Result<()> {
    print!("{}", show::plan(&engine.plan(period, Utc::now()).await?));
    Ok(())
}

/// Prints what every check finds; the exit code says whether anything was found.
async fn check(engine: &Engine) -> Result<ExitCode> {
    match engine.plan(None, Utc::now()).await {
        Ok(plan) => print!("{}", show::plan(&plan)),
        Err(Error::NotReady(reason)) => println!("not ready  {reason}"),
        Err(error) => return Err(error.into()),
    }
    let analyst = engine.analyst(Utc::now()).await?;
    let mut broken = 0;
    for (name, claim, rows) in engine.checks(&analyst).await? {
        let batches = rows.limit(0, Some(11))?.collect().await?;
        let count: usize = batches.iter().map(|batch| batch.num_rows()).sum();
        println!("{}  {name}: {claim}", if count == 0 { "ok   " } else { "found" });
        if count > 0 {
            broken += 1;
            println!("{}", arrow::util::pretty::pretty_format_batches(&batches)?);
            if count > 10 {
                println!("  and more: cxroi sql -f sql/{name}.sql");
            }
        }
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
