//! A company with known numbers: `golden/` says how pandas and statsmodels made them.

use std::collections::HashMap;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use engine::{Config, Engine, Stores};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tests::instant;
use url::Url;

/// The relative error that two correct implementations may differ by.
const TOLERANCE: f64 = 1e-9;

/// A column of the estimates as text, empty where it is null.
fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let column = cast(batch.column_by_name(name).expect(name), &DataType::Utf8).expect("a text");
    let column = column.as_string::<i32>();
    (0..column.len())
        .map(|row| if column.is_null(row) { String::new() } else { column.value(row).to_owned() })
        .collect()
}

#[tokio::test]
async fn every_number_equals_what_statsmodels_makes_of_the_rows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let stores = Stores::default();
    let mut config = Config::load(&Url::from_file_path(folder.join("cxroi.toml")).unwrap(), &stores).await.unwrap();
    let output = tempfile::tempdir().unwrap();
    config.output = Url::from_directory_path(output.path()).unwrap();
    let engine = Engine::open(config, &stores).await.unwrap();
    engine.run(Some("2024-12".parse().unwrap()), instant("2026-01-01T00:00:00Z"), &|_| {}).await.unwrap();

    let estimates = output.path().join("summaries/estimates/period=2024-12/estimates.parquet");
    let estimates = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(estimates).unwrap()).unwrap();
    let batch = estimates.with_batch_size(1 << 20).build().unwrap().next().unwrap().unwrap();
    let expected = std::fs::read_to_string(folder.join("expected.csv")).unwrap();
    // All columns but the last two, which say what is expected.
    let header: Vec<&str> = expected.lines().next().unwrap().split(',').collect();
    let names: Vec<Vec<String>> = header[..header.len() - 2].iter().map(|name| texts(&batch, name)).collect();
    let name = |row: usize| names.iter().map(|column| column[row].as_str()).collect::<Vec<_>>().join(",");
    let rows: HashMap<String, usize> = (0..batch.num_rows()).map(|row| (name(row), row)).collect();
    assert_eq!(rows.len(), batch.num_rows(), "no two rows have the same name");

    let mut wrong = Vec::new();
    let mut compared = 0;
    for line in expected.lines().skip(1) {
        let mut cells: Vec<&str> = line.split(',').collect();
        let (want, field) = (cells.pop().unwrap(), cells.pop().unwrap());
        let Some(&row) = rows.get(&cells.join(",")) else {
            wrong.push(format!("{line}: there is no such row"));
            continue;
        };
        compared += 1;
        let column = batch.column_by_name(field).expect(field);
        let agrees = if field == "status" || field == "grade" {
            texts(&batch, field)[row] == want
        } else if column.is_null(row) || want.is_empty() {
            column.is_null(row) && want.is_empty()
        } else {
            let want: f64 = want.parse().unwrap();
            let got = cast(column, &DataType::Float64).unwrap().as_primitive::<Float64Type>().value(row);
            (got - want).abs() <= TOLERANCE * want.abs().max(1.0)
        };
        if !agrees {
            wrong.push(format!("{line}: got {}", texts(&batch, field)[row]));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 8300, "only {compared} numbers were compared");
}
