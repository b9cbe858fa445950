//! The integration tests, as a table of contents.

/// How raw values become contract values: names, types, times, folders.
mod contract;
/// What is visible while everything fails.
mod faults;
/// CSV, JSON, and the small sources beside the feeds.
mod formats;
/// The Lambda functions, as the state machine calls them.
mod functions;
/// A company with known numbers, from statsmodels and pandas: `golden/`.
mod golden;
/// What is deleted of the output, and who is forgotten.
mod housekeeping;
/// Programmes: what is said of them, and what is refused.
mod initiatives;
/// What must come of a lake that is another in a known way.
mod metamorphic;
/// Every SQL file on made-up rows: `sql/**/*.slt`.
mod models;
/// Damaged files, as many as somebody has time for.
mod mutated;
/// The digits of certified regressions through SQL.
mod nist;
/// What is refused, and whether the message helps.
mod refusals;
/// What is set aside, and how it is listed.
mod rejected;
/// What becomes of a publication whose inputs move.
mod restatements;
/// What a run reads, writes and shows: the first, an unchanged one, a new month, a late row, a killed one.
mod runs;
/// S3 on servers of this machine.
mod s3;
