//! A volume process, as the program runs it: the order comes in on standard input.

fn main() -> std::io::Result<()> {
    gureum_block::process::run(std::io::stdin(), std::io::stdout())
}
