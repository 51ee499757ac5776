//! `kubectl skyy`: the same program under the name by which kubectl finds it.

fn main() -> std::process::ExitCode {
    skyyctl::main()
}
