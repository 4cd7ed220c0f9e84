use coal::Datacenter;

/// Memory that `imgapi` has in RAM, in bytes. `ps` says it on every system, in KiB.
pub(crate) fn resident_bytes(datacenter: &Datacenter) -> u64 {
    let pid = datacenter.imgapi_pid().unwrap().to_string();
    let said = std::process::Command::new("ps").args(["-o", "rss=", "-p", &pid]).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    text.trim().parse::<u64>().unwrap() << 10
}
