//! How much room there is, asked of `df`: no crate needed, and the same answer that a person gets.

use std::path::Path;
use std::process::{Command, Stdio};

/// Free MiB of the file system that holds `folder`, or would hold it. `None` where `df` has no answer.
pub fn free_mib(folder: &Path) -> Option<u64> {
    // It may be made only when it is needed; until then the file system is that of what is there.
    let folder = folder.ancestors().find(|path| path.exists())?;
    let output = Command::new("df").args(["-Pk"]).arg(folder).stderr(Stdio::null()).output().ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(text: &str) -> Option<u64> {
    let kib: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_output() {
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(parse(text), expected, "{text:?}");
        }
        check(
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 263174212 13000000 82837504 14% /\n",
            Some(80_896),
        );
        check("Filesystem 1024-blocks Used Available Capacity Mounted on\n", None);
        check("", None);
    }
}
