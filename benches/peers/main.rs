mod floor;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let at = args.iter().position(|a| a == "floor").unwrap();
    let mut files = Vec::new();
    for day in std::fs::read_dir(&args[at + 1])? {
        for f in std::fs::read_dir(day?.path())? {
            files.push(f?.path());
        }
    }
    files.sort();
    for _ in 0..6 {
        let t = std::time::Instant::now();
        let rows = floor::decode(&files, args[at + 2].parse()?, args[at + 3] == "dict")?;
        println!("{rows} rows {:?}", t.elapsed());
    }
    Ok(())
}
