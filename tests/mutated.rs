//! Damaged files: whatever is in them, a rollup ends in order and in little memory, and names what it could not read.
//!
//! `CXROI_MUTATED_FILES=100000 cargo test --release --workspace --test all -- mutated_files` is a long run, which also holds memory
//! against a limit; a failure names its seed, and `CXROI_MUTATED_FILES=1 CXROI_MUTATED_SEED=<seed>` is that file again. What is
//! published of files that can be read is the matter of `hostile/files.py`.

use std::ops::Range;

use arrow::array::RecordBatch;
use engine::{Error, Month, peak_memory};
use fastrand::Rng;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use tests::{Lake, instant, json_lines, sales, setting};

const CONFIG: &str = r#"
currency = "EUR"
lake.sales = "sales/"
output.url = "out/"
run.memory_limit = "256 MB"
"#;
/// Of the whole process.
const MOST_MEMORY: usize = 512 << 20;

/// Sixty order lines of a December.
fn december() -> RecordBatch {
    let line = |number: i64| {
        let at = format!("2024-12-{:02}T{:02}:30:00Z", 1 + number % 28, number % 24);
        (format!("customer {}", number % 7), format!("order {number}"), at, number * 997 % 10_000)
    };
    let lines: Vec<(String, String, String, i64)> = (0..60).map(line).collect();
    let lines: Vec<_> = lines.iter().map(|(who, order, at, cents)| (Some(&**who), &**order, &**at, *cents)).collect();
    RecordBatch::try_from_iter(sales(&lines)).unwrap()
}

/// The lines as a Parquet file of any layout, and where its footer begins.
fn parquet(random: &mut Rng) -> (Vec<u8>, usize) {
    let batch = december();
    let compressions = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())];
    let properties = WriterProperties::builder()
        .set_compression(compressions[random.usize(..compressions.len())])
        .set_dictionary_enabled(random.bool())
        .set_max_row_group_row_count(Some([10, 1_000][random.usize(..2)]))
        .set_data_page_row_count_limit([7, 20_000][random.usize(..2)])
        .set_write_batch_size(7)
        .set_writer_version([WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][random.usize(..2)])
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let file = writer.into_inner().unwrap();
    let length = u32::from_le_bytes(file[file.len() - 8..file.len() - 4].try_into().unwrap());
    let footer = file.len() - 8 - length as usize;
    (file, footer)
}

fn csv(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    arrow::csv::Writer::new(&mut bytes).write(batch).unwrap();
    bytes
}

/// Numbers at the edges of the formats, and marks of texts.
const PATCHES: [&[u8]; 14] = [
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0; 8],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0xfe, 0xff, 0xff, 0xff, 0x0f],
    b"\"",
    b"\0",
    b"\r",
    b",",
    b"\xff\xfe",
    b"1e999",
    b"NaN",
    b"{",
    b"\\u0000",
];

/// Changes a part of a file in one way.
fn mutate(random: &mut Rng, file: &mut Vec<u8>, part: Range<usize>) {
    let at = random.usize(part.clone());
    let until = |length| part.end.min(at + length);
    match random.u8(0..8) {
        0..=2 => {
            for _ in 0..[1, 1, 2, 8, 64][random.usize(..5)] {
                file[random.usize(part.clone())] ^= 1 << random.u8(0..8);
            }
        }
        3 => {
            let patch = PATCHES[random.usize(..PATCHES.len())];
            let end = until(patch.len());
            file[at..end].copy_from_slice(&patch[..end - at]);
        }
        4 => drop(file.splice(at..at, PATCHES[random.usize(..PATCHES.len())].repeat([1, 1, 50][random.usize(..3)]))),
        5 => file.truncate(at),
        6 => {
            let again = file[at..until(random.usize(1..200))].repeat([1, 3, 100][random.usize(..3)]);
            drop(file.splice(at..at, again));
        }
        _ => {
            let moved: Vec<u8> = file.drain(at..until(random.usize(1..60))).collect();
            if random.bool() {
                let to = random.usize(..=file.len());
                drop(file.splice(to..to, moved));
            }
        }
    }
}

/// A damaged file and the end of its name.
fn mutated(seed: u64) -> (&'static str, Vec<u8>) {
    let mut random = Rng::with_seed(seed);
    let (kind, mut file, parts) = match random.u8(0..6) {
        0 => ("csv", csv(&december()), 0..0),
        1 => ("json", json_lines(&december()), 0..0),
        _ => {
            let (file, footer) = parquet(&mut random);
            let parts = [4..footer, 4..footer, footer..file.len()];
            let part = parts[random.usize(..3)].clone();
            ("parquet", file, part)
        }
    };
    let part = if parts.is_empty() { 0..file.len() } else { parts };
    mutate(&mut random, &mut file, part);
    (kind, file)
}

#[tokio::test]
async fn mutated_files_end_in_order_and_in_little_memory() {
    let (files, first) = (setting("CXROI_MUTATED_FILES", 150), setting("CXROI_MUTATED_SEED", 1));
    let (month, now) = ("2024-12".parse::<Month>().unwrap(), instant("2025-01-05T06:00:00Z"));
    let mut refused = 0;
    for seed in first..first + files {
        let (kind, file) = mutated(seed);
        let outcome = tokio::spawn(async move {
            let lake = Lake::default();
            // Which ends the month; files of two formats in one folder would be refused unread.
            let end = [(Some("ann"), "end", "2024-12-31T20:00:00Z", 1_200)];
            let batch = RecordBatch::try_from_iter(sales(&end)).unwrap();
            match kind {
                "csv" => lake.put("sales/first.csv", csv(&batch)).await,
                "json" => lake.put("sales/first.json", json_lines(&batch)).await,
                _ => lake.sales("sales/first.parquet", &end).await,
            }
            lake.put(&format!("sales/mutated.{kind}"), file).await;
            lake.open(CONFIG).await?.make_facts(month, now).await
        });
        let outcome = outcome.await.unwrap_or_else(|panic| panic!("file {seed}: {panic}"));
        match outcome {
            Ok(_) => {}
            // A file whose columns are not of one length is counted so or so.
            Err(Error::Audit(_)) => refused += 1,
            // A time that is another now can leave the month open; an index of pages that is wrong is found by DataFusion.
            Err(error) if error.to_string().contains("sales") => refused += 1,
            Err(error) => panic!("file {seed} is not named, but {error}"),
        }
    }
    assert!(refused > files / 10, "{refused} of {files} files are refused, so that nothing was damaged");
    if files > 1_000 {
        let peak = peak_memory().expect("Linux says");
        assert!(peak < MOST_MEMORY, "{} MB for {files} files, {refused} of them refused", peak >> 20);
    }
}
