package import ArgumentParser
import CCommands

/// Code shared by the commands of this package: the version, and the handling of command-line arguments.
package enum CommandWords {
    /// The version of the package.
    package static let version = "0.1.0"

    /// The arguments after the command's name, available even without /proc.
    package static let all: [String] = (0..<ccommands_word_count()).dropFirst().map {
        String(cString: ccommands_word($0))
    }

    /// Checks the arguments before they are parsed.
    ///
    /// - Parameter root: The command.
    /// - Throws: `CleanExit` for `--version`; `ValidationError` if a verb is missing or unknown, or the process has no
    ///   arguments, not even its name.
    package static func check(for root: any ParsableCommand.Type) throws {
        guard ccommands_word_count() > 0 else {
            throw ValidationError("the process was started without arguments, not even its name: run it from a shell")
        }
        let name = root._commandName
        if all.first == "--version" { throw CleanExit.message("\(name) \(version)") }
        if all.first != "help" {
            try refuseUnknownVerb(root, name, all[...])
        } else if all.count > 1, all[1] != "help" {
            try refuseUnknownVerb(root, name, all.dropFirst(), isHelp: true)
        }
    }

    /// Descends to the given verb. Options before it are left to the parser. Help needs no verb.
    private static func refuseUnknownVerb(
        _ command: any ParsableCommand.Type, _ path: String, _ words: ArraySlice<String>, isHelp: Bool = false
    ) throws {
        let verbs = command.configuration.subcommands
        if verbs.isEmpty || isHelp && words.isEmpty { return }
        if let word = words.first {
            if word.hasPrefix("-"), word != "--" { return }
            for verb in verbs where verb._commandName == word {
                return try refuseUnknownVerb(verb, "\(path) \(word)", words.dropFirst(), isHelp: isHelp)
            }
        }
        var names: [String] = []
        for verb in verbs { names.append(verb._commandName) }
        let problem = words.first.map { "\($0.debugDescription) is not a verb of \(path)" } ?? "\(path) needs a verb"
        throw ValidationError("\(problem): give one of \(names.joined(separator: ", ")), or --help")
    }
}

/// Returns a number with its noun: `1 binding`, `2 bindings`.
package func counted(_ number: some BinaryInteger, _ one: String, _ many: String? = nil) -> String {
    "\(number) \(number == 1 ? one : many ?? one + "s")"
}
