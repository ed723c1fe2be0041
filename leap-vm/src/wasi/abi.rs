//! WASI preview 1 as the guest sees it: functions, error numbers, flags, layouts.
//!
//! The numbers are those of the interface's published definition (`wasi_snapshot_preview1.witx`);
//! only those that this implementation uses have names.

use rustix::io;

/// The module that guests import the functions from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// A type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    I32,
    I64,
}

use Type::{I32, I64};

/// Declares [`Function`] with each one's name and parameters. All but `proc_exit` have one
/// result, the error number.
macro_rules! functions {
    ($($variant:ident = $name:literal ($($parameter:ident),*);)*) => {
        /// One of the interface's 46 functions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub(crate) enum Function {
            $($variant,)*
        }

        impl Function {
            /// All of them, in the interface's order.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name that guests import it by.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The types of its parameters.
            pub(crate) fn parameters(self) -> &'static [Type] {
                match self {
                    $(Self::$variant => &[$($parameter),*],)*
                }
            }
        }
    };
}

functions! {
    ArgsGet = "args_get"(I32, I32);
    ArgsSizesGet = "args_sizes_get"(I32, I32);
    EnvironGet = "environ_get"(I32, I32);
    EnvironSizesGet = "environ_sizes_get"(I32, I32);
    ClockResGet = "clock_res_get"(I32, I32);
    ClockTimeGet = "clock_time_get"(I32, I64, I32);
    FdAdvise = "fd_advise"(I32, I64, I64, I32);
    FdAllocate = "fd_allocate"(I32, I64, I64);
    FdClose = "fd_close"(I32);
    FdDatasync = "fd_datasync"(I32);
    FdFdstatGet = "fd_fdstat_get"(I32, I32);
    FdFdstatSetFlags = "fd_fdstat_set_flags"(I32, I32);
    FdFdstatSetRights = "fd_fdstat_set_rights"(I32, I64, I64);
    FdFilestatGet = "fd_filestat_get"(I32, I32);
    FdFilestatSetSize = "fd_filestat_set_size"(I32, I64);
    FdFilestatSetTimes = "fd_filestat_set_times"(I32, I64, I64, I32);
    FdPread = "fd_pread"(I32, I32, I32, I64, I32);
    FdPrestatGet = "fd_prestat_get"(I32, I32);
    FdPrestatDirName = "fd_prestat_dir_name"(I32, I32, I32);
    FdPwrite = "fd_pwrite"(I32, I32, I32, I64, I32);
    FdRead = "fd_read"(I32, I32, I32, I32);
    FdReaddir = "fd_readdir"(I32, I32, I32, I64, I32);
    FdRenumber = "fd_renumber"(I32, I32);
    FdSeek = "fd_seek"(I32, I64, I32, I32);
    FdSync = "fd_sync"(I32);
    FdTell = "fd_tell"(I32, I32);
    FdWrite = "fd_write"(I32, I32, I32, I32);
    PathCreateDirectory = "path_create_directory"(I32, I32, I32);
    PathFilestatGet = "path_filestat_get"(I32, I32, I32, I32, I32);
    PathFilestatSetTimes = "path_filestat_set_times"(I32, I32, I32, I32, I64, I64, I32);
    PathLink = "path_link"(I32, I32, I32, I32, I32, I32, I32);
    PathOpen = "path_open"(I32, I32, I32, I32, I32, I64, I64, I32, I32);
    PathReadlink = "path_readlink"(I32, I32, I32, I32, I32, I32);
    PathRemoveDirectory = "path_remove_directory"(I32, I32, I32);
    PathRename = "path_rename"(I32, I32, I32, I32, I32, I32);
    PathSymlink = "path_symlink"(I32, I32, I32, I32, I32);
    PathUnlinkFile = "path_unlink_file"(I32, I32, I32);
    PollOneoff = "poll_oneoff"(I32, I32, I32, I32);
    ProcExit = "proc_exit"(I32);
    ProcRaise = "proc_raise"(I32);
    SchedYield = "sched_yield"();
    RandomGet = "random_get"(I32, I32);
    SockAccept = "sock_accept"(I32, I32, I32);
    SockRecv = "sock_recv"(I32, I32, I32, I32, I32, I32);
    SockSend = "sock_send"(I32, I32, I32, I32, I32);
    SockShutdown = "sock_shutdown"(I32, I32);
}

/// An error number, as a function returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Errno {
    Success = 0,
    Acces = 2,
    Again = 6,
    Badf = 8,
    Busy = 10,
    Exist = 20,
    Fault = 21,
    Fbig = 22,
    Ilseq = 25,
    Inval = 28,
    Io = 29,
    Isdir = 31,
    Loop = 32,
    Mfile = 33,
    Mlink = 34,
    Nametoolong = 37,
    Noent = 44,
    Nospc = 51,
    Nosys = 52,
    Notdir = 54,
    Notempty = 55,
    Notsock = 57,
    Notsup = 58,
    Overflow = 61,
    Perm = 63,
    Pipe = 64,
    Rofs = 69,
    Spipe = 70,
    Xdev = 75,
    Notcapable = 76,
}

impl From<io::Errno> for Errno {
    fn from(errno: io::Errno) -> Self {
        match errno {
            io::Errno::ACCESS => Self::Acces,
            io::Errno::BUSY => Self::Busy,
            io::Errno::EXIST => Self::Exist,
            io::Errno::FBIG => Self::Fbig,
            io::Errno::INVAL => Self::Inval,
            io::Errno::ISDIR => Self::Isdir,
            io::Errno::LOOP => Self::Loop,
            io::Errno::MFILE | io::Errno::NFILE => Self::Mfile,
            io::Errno::MLINK => Self::Mlink,
            io::Errno::NAMETOOLONG => Self::Nametoolong,
            io::Errno::NOENT => Self::Noent,
            io::Errno::NOSPC | io::Errno::DQUOT => Self::Nospc,
            io::Errno::NOTDIR => Self::Notdir,
            io::Errno::NOTEMPTY => Self::Notempty,
            // An attempt to leave the directory.
            io::Errno::PERM | io::Errno::XDEV => Self::Perm,
            io::Errno::PIPE => Self::Pipe,
            io::Errno::ROFS => Self::Rofs,
            _ => Self::Io,
        }
    }
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub(crate) enum FileType {
    Unknown = 0,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SymbolicLink = 7,
}

/// Clock identifiers.
pub(crate) mod clock {
    pub(crate) const REALTIME: u32 = 0;
    pub(crate) const MONOTONIC: u32 = 1;
}

/// What a descriptor may be used for.
pub(crate) mod rights {
    pub(crate) const FD_DATASYNC: u64 = 1 << 0;
    pub(crate) const FD_READ: u64 = 1 << 1;
    pub(crate) const FD_SEEK: u64 = 1 << 2;
    pub(crate) const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub(crate) const FD_SYNC: u64 = 1 << 4;
    pub(crate) const FD_TELL: u64 = 1 << 5;
    pub(crate) const FD_WRITE: u64 = 1 << 6;
    pub(crate) const FD_ADVISE: u64 = 1 << 7;
    pub(crate) const FD_ALLOCATE: u64 = 1 << 8;
    pub(crate) const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    pub(crate) const PATH_CREATE_FILE: u64 = 1 << 10;
    pub(crate) const PATH_LINK_SOURCE: u64 = 1 << 11;
    pub(crate) const PATH_LINK_TARGET: u64 = 1 << 12;
    pub(crate) const PATH_OPEN: u64 = 1 << 13;
    pub(crate) const FD_READDIR: u64 = 1 << 14;
    pub(crate) const PATH_READLINK: u64 = 1 << 15;
    pub(crate) const PATH_RENAME_SOURCE: u64 = 1 << 16;
    pub(crate) const PATH_RENAME_TARGET: u64 = 1 << 17;
    pub(crate) const PATH_FILESTAT_GET: u64 = 1 << 18;
    pub(crate) const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    pub(crate) const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    pub(crate) const FD_FILESTAT_GET: u64 = 1 << 21;
    pub(crate) const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    pub(crate) const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    pub(crate) const PATH_SYMLINK: u64 = 1 << 24;
    pub(crate) const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    pub(crate) const PATH_UNLINK_FILE: u64 = 1 << 26;
    pub(crate) const POLL_FD_READWRITE: u64 = 1 << 27;

    /// All that makes sense for a regular file.
    pub(crate) const FILE: u64 = FD_DATASYNC
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_WRITE
        | FD_ADVISE
        | FD_ALLOCATE
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_SIZE
        | FD_FILESTAT_SET_TIMES
        | POLL_FD_READWRITE;
    /// All that makes sense for a directory.
    pub(crate) const DIRECTORY: u64 = FD_DATASYNC
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | FD_READDIR
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_SIZE
        | PATH_FILESTAT_SET_TIMES
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE;
    /// A stream to read from. (Without seek and tell: that is how a C library knows a terminal.)
    pub(crate) const INPUT: u64 =
        FD_READ | FD_FDSTAT_SET_FLAGS | FD_FILESTAT_GET | POLL_FD_READWRITE;
    /// A stream to write to.
    pub(crate) const OUTPUT: u64 = FD_WRITE
        | FD_FDSTAT_SET_FLAGS
        | FD_FILESTAT_GET
        | POLL_FD_READWRITE
        | FD_SYNC
        | FD_DATASYNC;
}

/// Flags of a descriptor.
pub(crate) mod fd_flags {
    pub(crate) const APPEND: u16 = 1;
    pub(crate) const NONBLOCK: u16 = 4;
    /// All that there are; the synchronous ones mean nothing here, for a file is the process's
    /// own memory until it is persisted with the process.
    pub(crate) const ALL: u16 = 0x1f;
}

/// Flags of opening.
pub(crate) mod open_flags {
    pub(crate) const CREATE: u16 = 1;
    pub(crate) const DIRECTORY: u16 = 2;
    pub(crate) const EXCLUSIVE: u16 = 4;
    pub(crate) const TRUNCATE: u16 = 8;
}

/// Which times to set.
pub(crate) mod set_times {
    pub(crate) const ACCESSED: u16 = 1;
    pub(crate) const ACCESSED_NOW: u16 = 2;
    pub(crate) const MODIFIED: u16 = 4;
    pub(crate) const MODIFIED_NOW: u16 = 8;
}

/// Whether the last component of a path is followed when it is a symbolic link.
pub(crate) const SYMLINK_FOLLOW: u32 = 1;

/// Sizes of structures.
pub(crate) mod size {
    pub(crate) const IO_VECTOR: u32 = 8;
    pub(crate) const SUBSCRIPTION: u32 = 48;
    pub(crate) const EVENT: u32 = 32;
    pub(crate) const DIRECTORY_ENTRY: usize = 24;
}
