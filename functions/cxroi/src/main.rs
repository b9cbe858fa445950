//! `cxroi` on the command line: what did customer experience do to our money this month, and how sure are we?

mod arguments;
mod check;
mod demo;
mod init;
mod prompt;
mod run;
mod show;
mod whatif;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bytes::Bytes;
use chrono::{Duration, Utc};
use clap::{CommandFactory, Parser};
use datafusion::error::DataFusionError;
use engine::{Config, Engine, Error, Pointer, Stores, plural};

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
    // A panic is told once, as an error; where it happened is for whoever mends it.
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

/// Whether whoever reads the output has seen enough and left, which is no failure.
fn reader_left(error: &anyhow::Error) -> bool {
    let broken_pipe = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::BrokenPipe;
    // Arrow's writers keep the cause as text only.
    error.chain().any(|cause| cause.downcast_ref().is_some_and(broken_pipe))
        || error.to_string().contains("Broken pipe")
}

/// An error in words. For a query these are the words of its root cause, which everything that passed it on would
/// repeat.
fn said(error: &anyhow::Error) -> String {
    match error.downcast_ref::<DataFusionError>() {
        Some(error) => error.find_root().strip_backtrace(),
        None => format!("{error:#}"),
    }
}

/// A message with commands that can be typed as they stand: with the configuration that was named on this command line.
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
        Command::Check { lake } => return check::check(&lake).await,
        Command::Plan { lake, period, estimate } => {
            let (engine, now) = (open(&lake).await?, Utc::now());
            let plan = engine.plan(period, now).await?;
            show::say(&show::plan(&engine, &plan, now))?;
            if estimate {
                show::say(&show::expected(&engine.expected(&plan)))?;
            }
        }
        Command::Run { lake, period, output, refresh_dimensions, refresh_version } => {
            let refresh = run::Refresh { dimensions: refresh_dimensions, version: refresh_version };
            run::run(&lake, output.as_deref(), period, refresh).await?;
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
                match summary.and_then(|(_, summary)| Ok(show::signed(&summary)? + &show::untied(&summary)?)) {
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

#[cfg(test)]
mod tests {
    use datafusion::error::DataFusionError;

    use super::{said, with_configuration};

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
}
