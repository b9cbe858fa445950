//! What can go wrong, grouped by what a caller can do about it.

use std::sync::Arc;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;
use tokio::task::JoinError;

/// Every failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used. All problems are listed at once.
    #[error("{file}: {}", list(problems))]
    Config {
        /// The configuration file.
        file: String,
        /// One line a problem, each with its fix.
        problems: Vec<String>,
    },
    /// The lake, a staging file or a setting for this run cannot be used as it is.
    #[error("{0}")]
    Input(String),
    /// The rows of a file could not be decoded, and nobody knows of which: where somebody does, it is [`Error::Input`].
    #[error("{context}: {cause}; a file that was read may be damaged: write it again, or move it out of the folder")]
    Damaged {
        /// The files, the model or the source.
        context: String,
        /// What the reader says.
        cause: String,
    },
    /// The period is not closed yet: a feed is late, or the month is not over.
    #[error("{0}")]
    NotReady(String),
    /// The numbers contradict each other. Nothing was published.
    #[error("audit failed, nothing was published: {0}")]
    Audit(String),
    /// Another writer published the period first.
    #[error("another writer published {0} meanwhile; run again to see what is left to do")]
    Conflict(String),
    /// The numbers of a closed period would be different now.
    #[error(
        "{period} is closed as number {seq}, and its numbers would be different now; they stay as they are until \
         `cxroi close {period} --reopen`"
    )]
    Closed {
        /// The period.
        period: String,
        /// What was signed off.
        seq: u64,
    },
    /// An object of the lake was overwritten between two reads.
    #[error("{0} changed while it was read; nothing of it was used, run again")]
    Changed(String),
    /// A function's time was over.
    #[error("{0}")]
    Deadline(String),
    /// An object could not be read or written.
    #[error("{context}: {cause}")]
    Store {
        /// The object and what was tried.
        context: String,
        /// The store's answer.
        cause: String,
    },
    /// A query failed.
    #[error("{context}: {cause}")]
    Query {
        /// The model or file.
        context: String,
        /// DataFusion's answer.
        cause: Box<DataFusionError>,
    },
}

impl Error {
    /// The words of [`Error::kind`].
    pub const KINDS: [&'static str; 10] =
        ["Configuration", "Input", "NotReady", "Audit", "Conflict", "Closed", "Changed", "Deadline", "Store", "Query"];

    /// A word that a state machine can tell errors apart by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config { .. } => "Configuration",
            Self::Input(_) | Self::Damaged { .. } => "Input",
            Self::NotReady(_) => "NotReady",
            Self::Audit(_) => "Audit",
            Self::Conflict(_) => "Conflict",
            Self::Closed { .. } => "Closed",
            Self::Changed(_) => "Changed",
            Self::Deadline(_) => "Deadline",
            Self::Store { .. } => "Store",
            Self::Query { .. } => "Query",
        }
    }
}

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn list(problems: &[String]) -> String {
    match problems {
        [one] => one.clone(),
        many => format!("{} problems\n  - {}", many.len(), many.join("\n  - ")),
    }
}

/// Says what was being done when a store or a query failed.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for Result<T, object_store::Error> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| match cause {
            object_store::Error::Precondition { path, .. } => Error::Changed(path),
            cause => Error::Store { context: what(), cause: cause.to_string() },
        })
    }
}

impl<T> Context<T> for Result<T, DataFusionError> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| match of_store(&cause) {
            Some(object_store::Error::Precondition { path, .. }) => Error::Changed(path.clone()),
            Some(error) => Error::Store { context: what(), cause: error.to_string() },
            None if is_damage(&cause) => Error::Damaged { context: what(), cause: cause.strip_backtrace() },
            None => Error::Query { context: what(), cause: Box::new(cause) },
        })
    }
}

/// The answer of a store that made a query fail.
pub(crate) fn of_store(error: &DataFusionError) -> Option<&object_store::Error> {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.into_iter().find_map(|cause| cause.downcast_ref())
}

/// Whether the rows of a file could not be decoded: damaged pages make readers panic in places, also in tasks of DataFusion's.
pub(crate) fn is_damage(error: &DataFusionError) -> bool {
    let of_arrow = |error: &ArrowError| {
        matches!(error, ArrowError::ParquetError(_) | ArrowError::CsvError(_) | ArrowError::JsonError(_))
    };
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let is_panic = |cause: &(dyn std::error::Error + 'static)| cause.is::<JoinError>() || cause.is::<Arc<JoinError>>();
    causes.any(|cause| cause.is::<ParquetError>() || cause.downcast_ref().is_some_and(of_arrow) || is_panic(cause))
}

/// Of what we encode: what is decoded says itself what it is damaged by.
impl<T> Context<T> for Result<T, ParquetError> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::Query { context: what(), cause: Box::new(cause.into()) })
    }
}

impl<T> Context<T> for Result<T, arrow::error::ArrowError> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(DataFusionError::from).context(what)
    }
}

/// What to do about a file that cannot be read, by what its reader says: Parquet in another encoding is damaged.
pub(crate) fn remedy(file: &str, said: &str) -> &'static str {
    match said.to_lowercase().contains("utf-8") && !file.ends_with(".parquet") {
        true => "; save it as UTF-8",
        false => "; write it again, or move it out of the folder",
    }
}

/// "did you mean" for a name that is not known.
pub(crate) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}
