//! Why an image is refused, or cannot be written.

use std::io;
use std::path::PathBuf;

use leap_instrument::ModuleHash;
use leap_memory::MemoryError;

use super::ImageId;

/// Why an image cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file cannot be read or written.
    #[error("cannot {step} the image")]
    File {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file does not begin as an image does.
    #[error("the file is no process image")]
    NotAnImage,
    /// The image has a format that this program does not know yet.
    #[error("the image has format {found}, this program knows up to {known}: use a newer one")]
    NewerFormat {
        /// The image's format.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// To read the image takes something that this program cannot do.
    #[error("the image needs `{feature}`, which this program does not have")]
    UnknownFeature {
        /// What it is.
        feature: String,
    },
    /// The image is not as it was written: bits have changed or the end is missing.
    #[error("the image is damaged: its {what} is not as it was written")]
    Damaged {
        /// The part in which it shows.
        what: &'static str,
    },
    /// The process has more than an image can hold.
    #[error("the process cannot be written down: its {what} is too large")]
    TooLarge {
        /// The part that is.
        what: &'static str,
    },
    /// The image is of another module.
    #[error("the image is of module {image}, not of {module}")]
    OtherModule {
        /// The module that the image is of.
        image: ModuleHash,
        /// The module that was given.
        module: ModuleHash,
    },
    /// The module's bus stops are numbered otherwise now than when the image was written.
    #[error("the image was made with other bus stops for this module, by another version")]
    OtherStops,
    /// The image holds changes only, and the image that they are relative to is not there.
    #[error("the image is relative to image {base}, which is not at {}", path.display())]
    MissingBase {
        /// The image that it needs.
        base: ImageId,
        /// Where it should be.
        path: PathBuf,
    },
    /// There is another image where the one should be that this one is relative to.
    #[error("the image is relative to image {base}, but {} is image {found}", path.display())]
    OtherBase {
        /// The image that it needs.
        base: ImageId,
        /// The one that was found.
        found: ImageId,
        /// Where.
        path: PathBuf,
    },
    /// The image does not hold the program, and none was given.
    #[error("the image does not hold its module: give the module, {module}")]
    NoModule {
        /// The module that it is of.
        module: ModuleHash,
    },
    /// The process's memories are not those of the image.
    #[error("memory {index} of the process does not fit the image")]
    Memory {
        /// The memory's index.
        index: usize,
    },
    /// The pages cannot be put into, or taken from, the process.
    #[error(transparent)]
    Pages(#[from] MemoryError),
}

impl ImageError {
    pub(super) fn file(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { step, source }
    }
}
