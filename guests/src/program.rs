//! The programs of the suite.

use std::path::PathBuf;

use crate::Size;
use crate::dialect::Dialect;

/// One program of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What it is written in.
    pub kind: Kind,
    /// Its source, below `guests/`; of a Rust guest, the package.
    source: &'static str,
    small: u64,
    full: u64,
}

/// How a program is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From one C file.
    C,
    /// From one C file that calls `setjmp` and `longjmp`.
    Setjmp,
    /// From one C++ file, without exceptions.
    Cxx,
    /// From one C file and SQLite's source, which cargo fetches.
    Sqlite,
    /// By cargo.
    Rust,
}

impl Kind {
    /// What programs of it are: guests `in C`.
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Self::C | Self::Sqlite => "in C",
            Self::Setjmp => "with setjmp",
            Self::Cxx => "in C++",
            Self::Rust => "in Rust",
        }
    }

    /// What clang is told they are; none for what cargo compiles.
    pub(crate) fn dialect(self) -> Option<Dialect> {
        match self {
            Self::C | Self::Sqlite => Some(Dialect::C),
            Self::Setjmp => Some(Dialect::Setjmp),
            Self::Cxx => Some(Dialect::Cxx),
            Self::Rust => None,
        }
    }
}

/// A program in C: its name and its checksums, of the small size and of the full one.
macro_rules! c {
    ($folder:literal, $name:literal, $small:literal, $full:literal) => {
        Program {
            name: $name,
            kind: Kind::C,
            source: concat!("c/", $folder, $name, ".c"),
            small: $small,
            full: $full,
        }
    };
}

macro_rules! rust {
    ($name:literal, $small:literal, $full:literal) => {
        Program {
            name: $name,
            kind: Kind::Rust,
            source: "rust",
            small: $small,
            full: $full,
        }
    };
}

/// Those that benchmarks measure.
pub const SUITE: &[Program] = &[
    c!(
        "polybench/",
        "correlation",
        0xb693_b470_32ee_f7f3,
        0xd97f_ddda_154a_1b48
    ),
    c!(
        "polybench/",
        "covariance",
        0x20ac_cdb9_297e_e140,
        0xbddf_923a_56f4_0922
    ),
    c!(
        "polybench/",
        "gemm",
        0x1214_c06e_0724_6699,
        0xe5ec_25a2_9456_fb24
    ),
    c!(
        "polybench/",
        "gemver",
        0x7987_5b96_efbd_90e9,
        0x3658_12d9_68e2_1174
    ),
    c!(
        "polybench/",
        "gesummv",
        0x0b24_9d07_354a_a347,
        0x1d1a_f892_5251_ee5f
    ),
    c!(
        "polybench/",
        "symm",
        0xe82e_da05_41e6_f353,
        0xae44_4450_b736_4049
    ),
    c!(
        "polybench/",
        "syr2k",
        0x757f_36b7_433d_e600,
        0x216b_0be3_bdc5_e784
    ),
    c!(
        "polybench/",
        "syrk",
        0x383c_5e3e_1100_691f,
        0xada3_6489_6b5f_3f1b
    ),
    c!(
        "polybench/",
        "trmm",
        0xd3a7_1803_5067_b4f4,
        0x0d60_72f6_3560_ab61
    ),
    c!(
        "polybench/",
        "2mm",
        0x15d7_b56c_b047_bf6e,
        0xab9a_b9de_3c59_b939
    ),
    c!(
        "polybench/",
        "3mm",
        0xabd0_285f_082d_89f5,
        0xc550_0de9_891b_e5c4
    ),
    c!(
        "polybench/",
        "atax",
        0x3440_da73_ddcb_1d95,
        0x4e08_334c_317b_62f1
    ),
    c!(
        "polybench/",
        "bicg",
        0x8252_dd61_74d2_5e15,
        0x4492_a094_65b6_87cf
    ),
    c!(
        "polybench/",
        "doitgen",
        0x0acc_fb4c_5b46_c3a8,
        0xbef8_3987_3b53_7e95
    ),
    c!(
        "polybench/",
        "mvt",
        0xab08_0e0c_9543_58ba,
        0x6996_1607_a24c_7191
    ),
    c!(
        "polybench/",
        "cholesky",
        0x5d6e_5f3e_6fa6_949d,
        0xba00_b716_578c_32e2
    ),
    c!(
        "polybench/",
        "durbin",
        0x9d48_9fac_2c2a_ff24,
        0x0653_8736_3cd7_3e39
    ),
    c!(
        "polybench/",
        "gramschmidt",
        0x78dd_775d_06aa_d6ec,
        0x4a62_8093_a69c_2be2
    ),
    c!(
        "polybench/",
        "lu",
        0x3cfd_95e2_1add_691b,
        0xb457_7919_69c0_49a5
    ),
    c!(
        "polybench/",
        "ludcmp",
        0x3ed6_3f77_c4ca_a841,
        0x806d_0932_23d6_0b52
    ),
    c!(
        "polybench/",
        "trisolv",
        0xf978_33b4_523a_4358,
        0x32a5_5222_d514_cc62
    ),
    c!(
        "polybench/",
        "deriche",
        0xdb12_3b38_ce7b_a6c3,
        0x7183_0550_6ec7_59c1
    ),
    c!(
        "polybench/",
        "floyd-warshall",
        0xfb0c_c432_def1_dbb6,
        0xe2a4_ee14_9941_41d0
    ),
    c!(
        "polybench/",
        "nussinov",
        0x73fd_7453_32c4_d977,
        0xff4f_ab52_0c07_55c0
    ),
    c!(
        "polybench/",
        "adi",
        0xe598_acbf_3bb9_d735,
        0x94be_7588_3212_72b9
    ),
    c!(
        "polybench/",
        "fdtd-2d",
        0xa30d_1733_3cb9_7292,
        0x5689_d570_ed7d_415c
    ),
    c!(
        "polybench/",
        "heat-3d",
        0xf383_fca6_5660_9c43,
        0xb7f4_bf1d_4ccc_9dab
    ),
    c!(
        "polybench/",
        "jacobi-1d",
        0xa575_0059_5cb6_4b75,
        0x2bda_1490_e2c4_23e6
    ),
    c!(
        "polybench/",
        "jacobi-2d",
        0xec7a_3b31_147e_34e2,
        0x9137_9e8f_3b79_5fe1
    ),
    c!(
        "polybench/",
        "seidel-2d",
        0xf64b_9b87_d1e9_73df,
        0x7ea1_326d_ea44_8512
    ),
    c!("", "core-mix", 0x5c9d_a603_f396_7cbc, 0x2ea8_ed8d_394b_08d5),
    c!("", "nbody", 0x87b7_7e6a_1b87_2906, 0xb808_3aed_bb94_9766),
    c!(
        "",
        "binary-trees",
        0x1952_0a0c_0604_0a9b,
        0xdc6a_f5cf_e8bb_311a
    ),
    c!("", "fannkuch", 0x195c_b7e6_539d_0ad3, 0xe4dd_fb51_ce9e_e66e),
    c!(
        "",
        "mandelbrot",
        0x8ac7_5641_716d_702e,
        0x78b9_e4c0_efb4_be50
    ),
    c!("", "bfs", 0x41e6_996e_c183_dd93, 0xa6e5_ea69_2ba2_d09d),
    c!("", "pagerank", 0x4a19_020b_f6db_e130, 0x4783_e7ad_9fbc_cc03),
    c!("", "fib", 0x0000_0000_0000_0a18, 0x0000_0000_008c_ccc9),
    c!(
        "",
        "ackermann",
        0xb338_0136_cd7f_989b,
        0xc61e_b998_6eee_2d69
    ),
    c!("", "bytecode", 0x6df7_df57_b0dc_b160, 0x5e53_ac5f_bae4_93fb),
    c!("", "sort-mix", 0x39f9_80c6_65ea_bbfe, 0x86a3_0007_36dc_0deb),
    rust!("regex-log", 0x3dae_2782_8467_d9a8, 0xdd51_90cc_92e4_f85b),
    rust!("word-maps", 0x801b_1b73_4462_b8df, 0x0ad9_19fa_25c3_018e),
    Program {
        name: "sqlite",
        kind: Kind::Sqlite,
        source: "sqlite/workload.c",
        small: 0x6f1b_f54d_1d79_9ad6,
        full: 0xe712_b2b5_e931_5ffa,
    },
];

/// Those for tests alone: what compilers make of languages that the suite lacks.
pub const CORPUS: &[Program] = &[
    Program {
        name: "escapes",
        kind: Kind::Setjmp,
        source: "setjmp/escapes.c",
        small: 0x6c8e_0a9a_7240_0f0f,
        full: 0x579e_ea7c_0b39_5f69,
    },
    Program {
        name: "ledger",
        kind: Kind::Cxx,
        source: "cxx/ledger.cc",
        small: 0x1203_0449_9145_d341,
        full: 0xb7b3_521b_4c2a_9352,
    },
];

/// The program of this name.
#[must_use]
pub fn program(name: &str) -> Option<&'static Program> {
    let mut programs = SUITE.iter().chain(CORPUS);
    programs.find(|program| program.name == name)
}

impl Program {
    /// What it prints.
    #[must_use]
    pub fn output(&self, size: Size) -> String {
        let checksum = match size {
            Size::Small => self.small,
            Size::Full => self.full,
        };
        format!("{checksum:016x}\n")
    }

    /// Whether one module does for all sizes.
    pub(crate) fn is_sized_by_argument(&self) -> bool {
        matches!(self.kind, Kind::Sqlite | Kind::Rust)
    }

    pub(crate) fn source(&self) -> PathBuf {
        folder().join(self.source)
    }
}

/// The folder of this crate.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
