import ArgumentParser

@main
struct Steer: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Steers the traffic of whole prefixes to sockets.")
}
