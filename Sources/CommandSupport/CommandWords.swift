package import ArgumentParser
import CCommandSupport

/// The arguments of the process, and the version of all commands of this package.
package enum CommandWords {
    /// The version of the package.
    package static let version = "0.1.0"

    /// The arguments after the command's name, available even without /proc.
    package static let all: [String] = (0..<ccommandsupport_word_count()).dropFirst().map {
        String(cString: ccommandsupport_word($0))
    }

    /// Checks the arguments before they are parsed.
    ///
    /// - Parameter root: The command.
    /// - Throws: `CleanExit` for `--version`; `ValidationError` if a verb is missing or unknown, or the process has no
    ///   arguments, not even its name.
    fileprivate static func check(for root: any ParsableCommand.Type) throws {
        guard ccommandsupport_word_count() > 0 else {
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

    /// Returns the verb that the arguments name, and the words that lead to it; the command itself if they name none.
    static func verb(of root: any ParsableCommand.Type) -> (verb: any ParsableCommand.Type, path: String) {
        var verb = root, path = root._commandName
        for word in all {
            guard let next = verb.configuration.subcommands.first(where: { $0._commandName == word }) else { break }
            (verb, path) = (next, "\(path) \(word)")
        }
        return (verb, path)
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

extension ParsableCommand {
    /// Parses the arguments, runs the verb that they name, and flushes its output.
    ///
    /// - Parameter words: The arguments to parse; all are checked.
    /// - Throws: `StandardOutput.Failure` if output is lost, or what the verb throws: see ``end(with:)``.
    package static func runAsRoot(_ words: [String] = CommandWords.all) throws {
        try CommandWords.check(for: Self.self)
        var command = try parseAsRoot(words)
        try command.run()
        try StandardOutput.flush()
    }
}

/// Reads the value of an argument, and converts the error for an invalid one to a usage error.
package func parsed<Value>(_ read: () throws -> Value) throws -> Value {
    do { return try read() } catch { throw ValidationError("\(error)") }
}
