//! `leap inspect`: what is in a checkpoint.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use leap_vm::inspect::{InspectedFrame, Inspection, inspect};

use crate::restore::{module_of, open};
use crate::{OutputError, say, visible};

/// Show what is in a checkpoint: call stack, locals, memories, open files
///
/// Functions have the names that the program gives them and, where it has debug information, the
/// lines of its source. Nothing of the program runs.
#[derive(Args)]
#[command(after_help = "\
Examples:
  leap inspect app.leap
  leap inspect --json app.leap | jq .frames[0]")]
pub(crate) struct Inspect {
    /// Print it as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// The program, if the checkpoint does not hold it
    #[arg(long, value_name = "PROGRAM")]
    module: Option<PathBuf>,
    /// Read all pages and look for damage in them too
    #[arg(long)]
    verify: bool,
    /// The checkpoint, or a directory of periodic ones
    #[arg(value_name = "FILE")]
    checkpoint: PathBuf,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let (path, chain) = open(&self.checkpoint, self.verify)?;
        let cannot = || format!("cannot read {}", path.display());
        let module = module_of(&chain, self.module.as_deref()).with_context(cannot)?;
        let inspection = inspect(&chain, &module).with_context(cannot)?;
        match self.json {
            true => crate::print(&inspection)?,
            false => show(&inspection)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(inspection: &Inspection) -> Result<(), OutputError> {
    let image = &inspection.image;
    tell(format_args!(
        "image {}: {} pages, {} different, in {} KiB{}",
        image.id,
        image.pages,
        image.different_pages,
        image.file_bytes >> 10,
        if image.is_compressed {
            ", compressed"
        } else {
            ""
        },
    ))?;
    if image.chain > 1 {
        let others = image.chain - 1;
        tell(format_args!("relative to a chain of {others} other images"))?;
    }
    tell(format_args!("module {}", inspection.module))?;
    tell(format_args!("arguments {}", inspection.arguments.join(" ")))?;
    for variable in &inspection.environment {
        tell(format_args!("variable {variable}"))?;
    }
    if let Some(function) = &inspection.waits_in {
        tell(format_args!("waits in {function}"))?;
    }
    let frames = inspection.frames.len();
    tell(format_args!("{frames} calls, innermost first:"))?;
    for (depth, frame) in inspection.frames.iter().enumerate() {
        show_frame(depth, frame)?;
    }
    for (index, memory) in inspection.memories.iter().enumerate() {
        tell(format_args!(
            "memory {index}: {} KiB, {} pages of it in the image",
            memory.bytes >> 10,
            memory.pages_in_image,
        ))?;
    }
    let globals = inspection.globals.join(", ");
    tell(format_args!("globals: {globals}"))?;
    for file in &inspection.open_files {
        let offset = file.offset.map(|offset| format!(" at {offset}"));
        let offset = offset.unwrap_or_default();
        tell(format_args!(
            "descriptor {}: {}{offset}",
            file.fd, file.what
        ))?;
    }
    Ok(())
}

fn show_frame(depth: usize, frame: &InspectedFrame) -> Result<(), OutputError> {
    let unnamed = || format!("function {}", frame.function);
    let name = frame.name.clone().unwrap_or_else(unnamed);
    tell(format_args!(
        "{depth:4}  {name} at byte {:#x}",
        frame.offset
    ))?;
    for line in &frame.source {
        let number = line
            .line
            .map_or_else(String::new, |line| format!(":{line}"));
        let function = line.function.as_deref().unwrap_or("?");
        tell(format_args!("        {function} in {}{number}", line.file))?;
    }
    for local in &frame.locals {
        let name = local.name.as_ref().map(|name| format!(" {name}"));
        let name = name.unwrap_or_default();
        let (index, ty, value) = (local.index, local.ty, &local.value);
        tell(format_args!("        local {index}{name}: {ty} = {value}"))?;
    }
    if !frame.operands.is_empty() {
        tell(format_args!(
            "        operands {}",
            frame.operands.join(", ")
        ))?;
    }
    Ok(())
}

/// A line with whatever the image says, made fit for a terminal.
fn tell(text: std::fmt::Arguments<'_>) -> Result<(), OutputError> {
    say(format_args!("{}", visible(&text.to_string())))
}
