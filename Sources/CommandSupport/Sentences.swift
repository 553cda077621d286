package import ArgumentParser

extension ParsableCommand {
    /// Prints a sentence to standard error, after the name of the command.
    package static func printError(_ sentence: String, _ priority: Journal.Priority = .error) {
        Journal.print("\(_commandName): \(sentence)", priority)
    }
}

/// Returns a number with its noun: `1 binding`, `2 bindings`.
package func counted(_ number: some BinaryInteger, _ one: String, _ many: String? = nil) -> String {
    "\(number) \(number == 1 ? one : many ?? one + "s")"
}
