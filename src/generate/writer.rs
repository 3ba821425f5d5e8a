//! Rows to files: folders, parts, row groups.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::writer::SerializedFileWriter;
use rand_chacha::ChaCha8Rng;

use super::GenerateError;
use super::draw::{Stream, below, stream};
use super::encode::Encoder;
use super::spec::TenantSpec;
use super::tenant::{Row, Strings, Tenant};

/// Writes the rows of one day after the other below a root.
pub(super) struct LakeWriter<'a> {
    root: PathBuf,
    spec: &'a TenantSpec,
    encoder: Encoder<'a>,
    shuffle: ChaCha8Rng,
    folder: Option<Folder>,
    /// The number of the next part, by folder.
    next_part: HashMap<String, u32>,
    files: u64,
    bytes: u64,
}

/// The folder that rows go to at the moment.
struct Folder {
    name: String,
    path: PathBuf,
    first_part: u32,
    rows: usize,
    parts: Vec<Part>,
    /// All rows of the day here, if they are to be shuffled.
    unordered: Vec<Row>,
}

/// A file that is being written.
struct Part {
    path: PathBuf,
    temporary: PathBuf,
    writer: SerializedFileWriter<File>,
    rows: Vec<Row>,
}

impl<'a> LakeWriter<'a> {
    pub(super) fn new(spec: &'a TenantSpec, tenant: &'a Tenant, root: &Path) -> Result<Self, GenerateError> {
        Ok(Self {
            root: root.to_owned(),
            spec,
            encoder: Encoder::new(spec, tenant).map_err(|source| failed(root, source))?,
            shuffle: stream(spec.seed, 0, Stream::Shuffle),
            folder: None,
            next_part: HashMap::new(),
            files: 0,
            bytes: 0,
        })
    }

    /// Parquet files completed.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// Bytes of these files.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn start_day(&mut self, day: u32, ips: Strings) {
        self.shuffle = stream(self.spec.seed, day, Stream::Shuffle);
        self.encoder.set_day_addresses(ips);
    }

    /// Writes rows that belong to the folder `name`; closes the files of another one.
    pub(super) fn write(&mut self, name: &str, rows: &[Row]) -> Result<(), GenerateError> {
        let mut folder = match self.folder.take() {
            Some(folder) if folder.name == name => folder,
            other => {
                if let Some(other) = other {
                    self.finish(other)?;
                }
                self.open(name)?
            }
        };
        if self.spec.shuffle_rows {
            folder.unordered.extend_from_slice(rows);
        } else {
            self.deal(&mut folder, rows)?;
        }
        self.folder = Some(folder);
        Ok(())
    }

    /// Closes all files; rows of the next day go to new ones.
    pub(super) fn finish_day(&mut self) -> Result<(), GenerateError> {
        match self.folder.take() {
            Some(folder) => self.finish(folder),
            None => Ok(()),
        }
    }

    fn open(&self, name: &str) -> Result<Folder, GenerateError> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).map_err(|source| failed(&path, source))?;
        Ok(Folder {
            name: name.to_owned(),
            first_part: self.next_part.get(name).copied().unwrap_or(0),
            path,
            rows: 0,
            parts: Vec::new(),
            unordered: Vec::new(),
        })
    }

    /// Gives rows to the folder's parts in turn, and writes the row groups that are full.
    fn deal(&mut self, folder: &mut Folder, rows: &[Row]) -> Result<(), GenerateError> {
        let parts = self.spec.files_per_partition as usize;
        for row in rows {
            let index = folder.rows % parts;
            if index == folder.parts.len() {
                let number = folder.first_part + index as u32;
                folder.parts.push(Part::create(&folder.path, number, &self.encoder)?);
            }
            let part = &mut folder.parts[index];
            part.rows.push(*row);
            folder.rows += 1;
            if part.rows.len() == self.spec.row_group_rows {
                part.flush(&self.encoder)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, mut folder: Folder) -> Result<(), GenerateError> {
        let mut rows = std::mem::take(&mut folder.unordered);
        for last in (1..rows.len()).rev() {
            rows.swap(last, below(&mut self.shuffle, last as u32 + 1) as usize);
        }
        self.deal(&mut folder, &rows)?;
        let next = folder.first_part + folder.parts.len() as u32;
        self.next_part.insert(folder.name, next);
        for part in folder.parts {
            self.bytes += part.close(&self.encoder)?;
            self.files += 1;
        }
        Ok(())
    }
}

impl Part {
    fn create(folder: &Path, number: u32, encoder: &Encoder<'_>) -> Result<Self, GenerateError> {
        let path = folder.join(format!("part-{number}.parquet"));
        // Readers of lakes pass over names that begin with a dot or end otherwise.
        let temporary = folder.join(format!(".part-{number}.parquet.tmp"));
        let file = File::create(&temporary).map_err(|source| failed(&temporary, source))?;
        let writer = SerializedFileWriter::new(file, Arc::clone(&encoder.schema), Arc::clone(&encoder.properties))
            .map_err(|source| failed(&temporary, source))?;
        Ok(Self { path, temporary, writer, rows: Vec::new() })
    }

    /// Writes the rows held as a row group.
    fn flush(&mut self, encoder: &Encoder<'_>) -> Result<(), GenerateError> {
        if !self.rows.is_empty() {
            encoder.write_row_group(&mut self.writer, &self.rows).map_err(|source| failed(&self.temporary, source))?;
            self.rows.clear();
        }
        Ok(())
    }

    /// Completes the file and gives it its name; its size in bytes.
    fn close(mut self, encoder: &Encoder<'_>) -> Result<u64, GenerateError> {
        self.flush(encoder)?;
        self.writer.close().map_err(|source| failed(&self.temporary, source))?;
        fs::rename(&self.temporary, &self.path).map_err(|source| failed(&self.path, source))?;
        let written = fs::metadata(&self.path).map_err(|source| failed(&self.path, source))?;
        Ok(written.len())
    }
}

fn failed(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> GenerateError {
    GenerateError::File { path: path.to_owned(), source: source.into() }
}
