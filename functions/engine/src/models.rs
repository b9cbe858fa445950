//! The SQL of the method: the embedded files, and the user's overlay of them.

use std::collections::BTreeMap;

use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::resolve::resolve_table_references;

use crate::config::Config;
use crate::contract::{self, Source};
use crate::error::{Error, Result};
use crate::store::Stores;

include!(concat!(env!("OUT_DIR"), "/models.rs"));

/// The layers, in the order in which they read each other.
const LAYERS: [&str; 5] = ["staging", "facts", "windows", "measures", "checks"];

/// The origin of a model that came with this version.
const EMBEDDED_ORIGIN: &str = "embedded";

/// One SQL file.
#[derive(Debug, Clone)]
pub struct Model {
    /// `facts/customer_month`.
    pub name: String,
    /// The whole text, with its header.
    pub sql: String,
    /// `embedded`, or where the overlay's file is.
    pub origin: String,
}

impl Model {
    /// Whether it came with this version, and is no file of an overlay.
    pub(crate) fn is_embedded(&self) -> bool {
        self.origin == EMBEDDED_ORIGIN
    }

    /// The first comment lines: what the model is, in words.
    pub fn description(&self) -> String {
        let header = self.sql.lines().take_while(|line| line.starts_with("--"));
        let words = header.map(|line| line.trim_start_matches('-').trim()).filter(|line| !line.starts_with("grain:"));
        words.collect::<Vec<_>>().join(" ")
    }

    /// The columns that no two rows share, from the header line `-- grain: a, b`.
    pub fn grain(&self) -> Vec<&str> {
        let line = self.sql.lines().find_map(|line| line.strip_prefix("-- grain:"));
        line.map(|columns| columns.split(',').map(str::trim).collect()).unwrap_or_default()
    }

    /// The tables that the SQL names.
    ///
    /// # Errors
    /// [`Error::Input`] with the place of a syntax error.
    pub fn references(&self) -> Result<Vec<TableReference>> {
        let fail = |error: String| Error::Input(format!("{} ({}): {error}", self.name, self.origin));
        let mut statements = DFParser::parse_sql(&self.sql).map_err(|error| fail(error.to_string()))?;
        let statement: Statement = match (statements.pop_front(), statements.len()) {
            (Some(statement), 0) => statement,
            _ => return Err(fail("a model is one select statement".to_owned())),
        };
        let (tables, _) = resolve_table_references(&statement, true).map_err(|error| fail(error.to_string()))?;
        Ok(tables)
    }

    /// Refuses a reference to a table that would be incomplete where the model runs, or that the plan does not know of:
    /// a month's session has only the objects of that month, and a change of an unknown table would not make its facts
    /// stale.
    fn check_references(&self) -> Result<()> {
        let layer = self.name.split('/').next().unwrap_or_default();
        let is_dimension = |table: &str| contract::source(table).is_some_and(Source::is_dimension);
        let known = |schema: &str, table: &str| match layer {
            "staging" => schema == "raw",
            "facts" => schema == "staging" && matches!(table, "interactions" | "sales"),
            "windows" => matches!(schema, "facts" | "windows") || schema == "staging" && is_dimension(table),
            "measures" => {
                matches!(schema, "facts" | "windows" | "fitted") || schema == "staging" && is_dimension(table)
            }
            _ => true,
        };
        for table in self.references()? {
            if !known(table.schema().unwrap_or_default(), table.table()) {
                let may = match layer {
                    "staging" => "a staging file reads raw.<source> only",
                    "facts" => "a fact file reads staging.interactions and staging.sales only",
                    "windows" => {
                        "a window file reads facts.<table>, other windows.<table> and the staging of sources without a time only"
                    }
                    _ => {
                        "a measure reads facts.<table>, windows.<table> and the staging of sources without a time only"
                    }
                };
                return Err(Error::Input(format!("{} ({}) reads `{table}`; {may}", self.name, self.origin)));
            }
        }
        Ok(())
    }
}

/// Every model by name.
#[derive(Debug, Clone)]
pub struct Models(BTreeMap<String, Model>);

impl Models {
    /// The embedded models.
    pub fn embedded() -> Self {
        let model = |&(name, sql): &(&str, &str)| {
            (name.to_owned(), Model { name: name.to_owned(), sql: sql.to_owned(), origin: EMBEDDED_ORIGIN.to_owned() })
        };
        Self(EMBEDDED.iter().map(model).collect())
    }

    /// The embedded models with the overlay's files in their place.
    ///
    /// # Errors
    /// [`Error::Input`] for a file outside the layers, one that is not a model, or a syntax error.
    pub async fn load(config: &Config, stores: &Stores) -> Result<Self> {
        let mut models = Self::embedded();
        let Some(url) = &config.overlay else { return Ok(models) };
        let folder = stores.locate(url)?;
        let mut replaced = 0;
        for object in folder.list().await? {
            let key = folder.relative(&object.location);
            let Some(name) = key.strip_suffix(".sql") else { continue };
            let origin = folder.name_of(&object.location);
            let known =
                name.split_once('/').is_some_and(|(layer, file)| LAYERS.contains(&layer) && !file.contains('/'));
            if !known || !name.starts_with("checks/") && !models.0.contains_key(name) {
                let names: Vec<&str> = models.0.keys().map(String::as_str).collect();
                return Err(Error::Input(format!(
                    "{origin} replaces no model{}; there are: {}",
                    crate::error::suggestion(name, names.iter().copied()),
                    names.join(", ")
                )));
            }
            let (bytes, _) =
                folder.join(&key).get().await?.ok_or_else(|| Error::Input(format!("{origin} went away")))?;
            let sql = String::from_utf8(bytes.to_vec()).map_err(|_| Error::Input(format!("{origin} is not UTF-8")))?;
            let model = Model { name: name.to_owned(), sql, origin };
            model.check_references()?;
            models.0.insert(name.to_owned(), model);
            replaced += 1;
        }
        if replaced == 0 {
            return Err(Error::Input(format!(
                "sql.overlay: there is no .sql file below {folder}; correct the path, or remove the setting"
            )));
        }
        Ok(models)
    }

    /// The model of that name, as `facts/customer_month`.
    ///
    /// # Errors
    /// [`Error::Input`] if there is none.
    pub fn get(&self, name: &str) -> Result<&Model> {
        self.0.get(name).ok_or_else(|| Error::Input(format!("there is no model sql/{name}.sql")))
    }

    /// The models of the windows, each after those that it reads, with the names of these.
    ///
    /// # Errors
    /// [`Error::Input`] for models that read each other.
    pub(crate) fn windows(&self) -> Result<Vec<(&Model, Vec<String>)>> {
        let mut waiting = Vec::new();
        for model in self.layer("windows") {
            let tables = model.references()?.into_iter().filter(|table| table.schema() == Some("windows"));
            waiting.push((model, tables.map(|table| format!("windows/{}", table.table())).collect::<Vec<_>>()));
        }
        let mut ordered: Vec<(&Model, Vec<String>)> = Vec::new();
        while !waiting.is_empty() {
            let is_there = |name: &String| ordered.iter().any(|(model, _)| model.name == *name);
            let Some(next) = waiting.iter().position(|(_, reads)| reads.iter().all(is_there)) else {
                let names: Vec<&str> = waiting.iter().map(|(model, _)| model.name.as_str()).collect();
                return Err(Error::Input(format!("{} read each other in a circle", names.join(" and "))));
            };
            ordered.push(waiting.remove(next));
        }
        Ok(ordered)
    }

    /// The models that published numbers are made with: all but the checks.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Model> {
        LAYERS.iter().filter(|layer| **layer != "checks").flat_map(|layer| self.layer(layer))
    }

    /// The models of a layer, by name.
    pub fn layer<'a>(&'a self, layer: &'a str) -> impl Iterator<Item = &'a Model> {
        self.0.values().filter(move |model| model.name.split('/').next() == Some(layer))
    }
}
