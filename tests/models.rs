//! Runs each `tests/sql/<layer>/<model>.slt`: plain sqllogictest, with one addition. A statement
//! `model <layer>/<model> [name = number ...]` stands for the text of that SQL file with these parameters, and
//! `view of model ...` puts it into the place of the table of that name, which a measure reads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use engine::models::Models;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

struct Database {
    session: SessionContext,
    models: Models,
}

#[async_trait::async_trait]
impl AsyncDB for Database {
    type Error = DataFusionError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Self::ColumnType>, DataFusionError> {
        let planned = match sql.split_once("model ") {
            None => self.session.sql(sql).await?,
            Some((target, call)) => {
                let mut words = call.split_whitespace();
                let name = words.next().unwrap_or_default();
                let model = self.models.get(name).map_err(|error| DataFusionError::Plan(error.to_string()))?;
                let words: Vec<&str> = words.collect();
                let parameters: Vec<(String, ScalarValue)> =
                    words.chunks(3).map(|pair| (pair[0].to_owned(), parameter(pair[2]))).collect();
                let planned = self.session.sql(&model.sql).await?.with_param_values(parameters)?;
                if !target.is_empty() {
                    self.session.deregister_table(name.replace('/', "."))?;
                    self.session.register_table(name.replace('/', "."), planned.into_view())?;
                    return Ok(DBOutput::StatementComplete(0));
                }
                planned
            }
        };
        let is_query = planned.schema().fields().iter().any(|field| field.name() != "count");
        let batches = planned.collect().await?;
        if !is_query {
            return Ok(DBOutput::StatementComplete(0));
        }
        let columns = batches.first().map_or(0, RecordBatch::num_columns);
        let mut rows = Vec::new();
        let options = FormatOptions::default().with_null("NULL");
        for batch in &batches {
            let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                rows.push(columns.iter().map(|column| column.value(row).to_string()).collect());
            }
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; columns], rows })
    }

    async fn shutdown(&mut self) {}
}

/// `24299` is a month, `0.35` a rate, `true` a flag, `2025-01-07T12:00:00` an instant of UTC, anything else a text.
fn parameter(text: &str) -> ScalarValue {
    match (text.parse::<i32>(), text.parse::<f64>()) {
        _ if matches!(text, "true" | "false") => ScalarValue::from(text == "true"),
        (Ok(number), _) => ScalarValue::from(number),
        (_, Ok(rate)) => ScalarValue::Decimal128(Some((rate * 1e6).round() as i128), 7, 6),
        _ => match text.parse::<chrono::NaiveDateTime>() {
            Ok(instant) => {
                ScalarValue::TimestampMicrosecond(Some(instant.and_utc().timestamp_micros()), Some("UTC".into()))
            }
            Err(_) => ScalarValue::from(text),
        },
    }
}

fn files(folder: &str, extension: &str) -> BTreeSet<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let layers = std::fs::read_dir(&root).unwrap().map(|layer| layer.unwrap().path()).filter(|layer| layer.is_dir());
    let files = layers.flat_map(|layer| std::fs::read_dir(layer).unwrap().map(|file| file.unwrap().path()));
    let wanted = files.filter(|file| file.extension().is_some_and(|found| found == extension));
    wanted.map(|file| file.strip_prefix(&root).unwrap().with_extension("")).collect()
}

#[test]
fn every_sql_file_has_a_test_of_its_own() {
    let (models, tests) = (files("../sql", "sql"), files("sql", "slt"));
    assert_eq!(models, tests, "sql/**.sql and tests/sql/**.slt must be the same names");
}

#[tokio::test]
async fn every_model_answers_as_its_test_says() {
    let mut failures = Vec::new();
    for name in files("sql", "slt") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(&name).with_extension("slt");
        let database =
            || async { Ok(Database { session: engine::empty_session().unwrap(), models: Models::embedded() }) };
        let mut runner = Runner::new(database);
        let result = if std::env::var_os("UPDATE_EXPECT").is_some() {
            let update = runner.update_test_file(
                path,
                " ",
                sqllogictest::default_validator,
                sqllogictest::default_normalizer,
                sqllogictest::default_column_validator,
            );
            update.await.map_err(|error| error.to_string())
        } else {
            runner.run_file_async(path).await.map_err(|error| error.display(false).to_string())
        };
        if let Err(error) = result {
            failures.push(format!("{}: {error}", name.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
