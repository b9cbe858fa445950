//! Tables as the bytes of files and back, and the hashes that name what a file holds.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::error::{Context, Result};

/// How we write Parquet: with nothing in it that rewriting the same rows would change.
pub(crate) fn parquet_writer(schema: &SchemaRef) -> parquet::errors::Result<ArrowWriter<Vec<u8>>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        // Readers take whole pages, so statistics of single pages would never be used.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by("cxroi".to_owned());
    ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties.build()))
}

/// A table as the bytes of a Parquet file.
pub(crate) fn parquet(table: &RecordBatch) -> Result<Vec<u8>> {
    let context = || "cannot encode a table".to_owned();
    let mut writer = parquet_writer(&table.schema()).context(context)?;
    writer.write(table).context(context)?;
    writer.into_inner().context(context)
}

/// The rows of a Parquet file that we wrote.
pub(crate) fn read_parquet(bytes: Bytes) -> parquet::errors::Result<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let schema = Arc::clone(reader.schema());
    let batches = reader.build()?.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

/// The hash that names content: equal bytes have equal names.
pub(crate) fn content_hash(bytes: &[u8]) -> String {
    shortened(blake3::hash(bytes))
}

/// A hash as it stands in keys and records: 128 of its bits, in hexadecimal digits.
pub(crate) fn shortened(hash: blake3::Hash) -> String {
    hash.to_hex()[..32].to_owned()
}
