//! `skyyctl`.

fn main() -> std::process::ExitCode {
    skyyctl::main()
}
