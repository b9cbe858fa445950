//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use engine::Month;

/// What did customer experience do to our money this month, and how sure are we?
#[derive(Debug, Parser)]
#[command(name = "cxroi", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 bad input or configuration, 3 data not ready.
Logs: CXROI_LOG=info (or debug) writes them to standard error.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a lake with planted effects, run it, and show planted beside recovered
    #[command(after_help = "Example:\n  cxroi demo\n  cxroi show --config cxroi-demo/cxroi.toml")]
    Demo {
        /// Where the lake and its results go; an existing demo is run again, not made again
        #[arg(default_value = "cxroi-demo")]
        folder: PathBuf,
        /// How many customers the lake has
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
        customers: u32,
    },
    /// Look at files that nobody has described, and write the configuration and staging SQL to begin with
    #[command(after_help = INIT_HELP)]
    Init {
        /// The folder of exports, one file or folder a table, as a path or URL
        #[arg(value_name = "PATH or URL")]
        lake: String,
        /// The folder that cxroi.toml and sql/staging/ are written to; nothing is overwritten
        #[arg(long, default_value = ".", value_name = "DIR")]
        output: PathBuf,
    },
    /// Look over the configuration, the lake and the output's store: what would be reported, rows that break a claim of
    /// sql/checks, and whether the store keeps the promises that publishing relies on
    #[command(after_help = "The store is tried on objects of its own below checks/, which are removed.

Example:\n  cxroi check --config cxroi.toml")]
    Check {
        #[command(flatten)]
        lake: Lake,
    },
    /// Say what a run would do
    #[command(after_help = "Examples:\n  cxroi plan --period 2024-12\n  cxroi plan --estimate")]
    Plan {
        #[command(flatten)]
        lake: Lake,
        /// The month to report [default: the last closed one]
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<Month>,
        /// Also say how much it would read, how long it would take here, and what it would cost on Lambda
        #[arg(long)]
        estimate: bool,
    },
    /// Compute a month and publish it
    #[command(
        after_help = "Examples:\n  cxroi run\n  cxroi run --config lake/cxroi.toml --period 2024-12 --output results/"
    )]
    Run {
        #[command(flatten)]
        lake: Lake,
        /// The month to report [default: the last closed one]
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<Month>,
        /// Write here instead of `output.url` of the configuration
        #[arg(long, value_name = "PATH or URL")]
        output: Option<String>,
        /// Let a month that is published already see customers as they are today, not as they were then
        #[arg(long)]
        refresh_dimensions: bool,
        /// Let a month that is published already be computed as this version does it, though nothing else moved
        #[arg(long)]
        refresh_version: bool,
    },
    /// Print a published month
    #[command(
        after_help = "Examples:\n  cxroi show\n  cxroi show --section bridge --segments\n  cxroi show --csv > month.csv"
    )]
    Show {
        #[command(flatten)]
        lake: Lake,
        /// The month to print [default: the newest published one]
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<Month>,
        /// Every segment, not only everybody
        #[arg(long)]
        segments: bool,
        /// A part of the report in full [default: what fits on a screen; with --json and --csv, everything]
        #[arg(long, value_enum)]
        section: Option<Section>,
        /// As JSON, with every segment
        #[arg(long)]
        json: bool,
        /// As comma-separated values, with every segment
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Say how much net value goes with higher answers, by what customers of each band are worth now
    #[command(after_help = "Example:
  cxroi whatif --segment consumer --from detractor --to passive --share 0.1 --service-cost 5000")]
    Whatif {
        #[command(flatten)]
        lake: Lake,
        /// The published month whose numbers are used [default: the newest one]
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<Month>,
        #[command(flatten)]
        what: What,
    },
    /// Sign a published month off: whatever arrives later, its numbers stay
    #[command(after_help = "Examples:\n  cxroi close 2024-12\n  cxroi close 2024-12 --reopen")]
    Close {
        #[command(flatten)]
        lake: Lake,
        /// The month
        #[arg(value_name = "YYYY-MM")]
        period: Month,
        /// Withdraw the sign-off
        #[arg(long)]
        reopen: bool,
    },
    /// List what was published: when, of which version, what moved, and how many numbers changed
    #[command(after_help = "Examples:\n  cxroi runs\n  cxroi runs --period 2024-12")]
    Runs {
        #[command(flatten)]
        lake: Lake,
        /// The month to look at [default: all published ones]
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<Month>,
    },
    /// Get the published files of a month, each held against what was written down when it was published
    #[command(after_help = PULL_HELP)]
    Pull {
        #[command(flatten)]
        lake: Lake,
        /// The month [default: the newest published one]
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<Month>,
        /// The folder to write to [default: one of the month's name, here]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Print links to the published files of a month on S3, for whoever has no key to it
    #[command(after_help = SHARE_HELP)]
    Share {
        #[command(flatten)]
        lake: Lake,
        /// The month [default: the newest published one]
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<Month>,
        /// Hours that the links work, up to a week
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=168))]
        expires_in: u32,
    },
    /// Hold what is published against what was written down when it was: nothing gone, nothing changed
    #[command(after_help = "Examples:\n  cxroi verify\n  cxroi verify --period 2024-12")]
    Verify {
        #[command(flatten)]
        lake: Lake,
        /// The month to look at [default: all published ones]
        #[arg(long, value_name = "YYYY-MM")]
        period: Option<Month>,
    },
    /// Delete what no publication stands on, not even an earlier one: what runs that died left, and unused facts
    #[command(after_help = "Examples:\n  cxroi gc --dry-run\n  cxroi gc --older-than 30")]
    Gc {
        #[command(flatten)]
        lake: Lake,
        /// Only list it
        #[arg(long)]
        dry_run: bool,
        /// Days that an object is kept at least, as a run under way may be about to use a younger one
        #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3_650))]
        older_than: u32,
    },
    /// Rewrite everything that was made of customers' rows without them; published numbers name nobody and stay
    #[command(after_help = FORGET_HELP)]
    Forget {
        #[command(flatten)]
        lake: Lake,
        /// Only count what holds their ids
        #[arg(long)]
        dry_run: bool,
        /// Their ids
        #[arg(value_name = "CUSTOMER", required = true)]
        customers: Vec<String>,
    },
    /// Ask the lake, the facts and the published tables in SQL; nothing can be written
    #[command(after_help = SQL_HELP)]
    Sql {
        #[command(flatten)]
        lake: Lake,
        /// Run this query and stop
        #[arg(short, long, value_name = "QUERY", conflicts_with = "file")]
        command: Option<String>,
        /// Run the query in this file and stop
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// How to print the result
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
        /// Write the result to this file instead of printing it (Parquet needs one)
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Stop a query of -c or -f after so many seconds
        #[arg(long, value_name = "SECONDS", default_value = "600")]
        time_limit: Option<u64>,
    },
    /// Print what a shell needs to complete commands and options
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page of cxroi, or of one of its commands
    #[command(after_help = "Example:\n  cxroi man run | man -l -")]
    Man {
        /// The command
        command: Option<String>,
    },
}

const INIT_HELP: &str = "Guesses by names, in several languages, and by values, and prints why; what is only a guess says so in the files too.
Only reads the lake.

Example:
  cxroi init exports/ --output shop
  cxroi check --config shop/cxroi.toml
  cxroi run --config shop/cxroi.toml";

const COMPLETIONS_HELP: &str = "Example, for bash:
  cxroi completions bash > ~/.local/share/bash-completion/completions/cxroi";

const PULL_HELP: &str =
    "A file that is there already is written anew. What names customers (rejected.parquet, facts) is not among them.

Examples:
  cxroi pull
  cxroi pull --period 2024-12 --to december";

const SHARE_HELP: &str =
    "A link shows what is published now, also after a later restatement. It works for everybody who has it, and not
longer than the keys that sign it: those of a role or of SSO often end within hours.

Examples:
  cxroi share
  cxroi share --period 2024-12 --expires-in 72";

const FORGET_HELP: &str =
    "Delete their rows in the lake first: what it still holds comes back with the next rollup of a month.
The next run restates the newest months without them. A bucket that keeps versions keeps the old ones until they expire.

Example:
  cxroi forget 4711 4712";

const SQL_HELP: &str = "Tables: raw.<source>, audit.<source> (with the reason for each rejected row), staging.<source>,
facts.<table> of finished months, roi.estimates and roi.money of published ones. `show tables` lists them.
The files of sql/ run as they are; $as_of is the last closed month, as year * 12 + month - 1.

Examples:
  cxroi sql
  cxroi sql -c \"select metric, value, lo, hi from roi.estimates where segment = '(all)'\"
  cxroi sql -f sql/measures/nps.sql --format json";

/// Which lake.
#[derive(Debug, Args)]
pub(crate) struct Lake {
    /// The configuration file, as a path or URL
    #[arg(long, env = "CXROI_CONFIG", default_value = "cxroi.toml", value_name = "FILE")]
    pub(crate) config: String,
}

/// Which customers would move, from where to where.
#[derive(Debug, Args)]
pub(crate) struct What {
    /// The segment
    #[arg(long, default_value = "(all)")]
    pub(crate) segment: String,
    /// The band of NPS that they leave
    #[arg(long, value_enum)]
    pub(crate) from: Band,
    /// The band that they reach
    #[arg(long, value_enum)]
    pub(crate) to: Band,
    /// How many of the segment's active customers, as a share: 0.1 is one in ten
    #[arg(long)]
    pub(crate) share: f64,
    /// What that costs in service, in twelve months
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) service_cost: f64,
}

/// A band of answers to the NPS question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Band {
    /// 0 to 6
    Detractor,
    /// 7 and 8
    Passive,
    /// 9 and 10
    Promoter,
}

/// A part of the report, as the column `section` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Section {
    /// Indicators
    Kpi,
    /// The revenue bridge
    Bridge,
    /// What became of retained revenue
    RetainedRevenue,
    /// Scores and what followed
    Association,
    /// Penalty and reward
    Asymmetry,
    /// Drivers
    Driver,
    /// Customer lifetime value
    Clv,
    /// Who stays
    Survival,
    /// What a point is worth
    Value,
    /// Programmes
    Initiative,
    /// Data quality
    Quality,
    /// Everything
    All,
}

impl Section {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kpi => "kpi",
            Self::Bridge => "bridge",
            Self::RetainedRevenue => "retained_revenue",
            Self::Association => "association",
            Self::Asymmetry => "asymmetry",
            Self::Driver => "driver",
            Self::Clv => "clv",
            Self::Survival => "survival",
            Self::Value => "value",
            Self::Initiative => "initiative",
            Self::Quality => "quality",
            Self::All => "all",
        }
    }
}

/// How a query's result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON object a line
    Json,
    /// A Parquet file
    Parquet,
}
