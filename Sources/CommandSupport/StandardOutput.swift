package import ArgumentParser
import CCommandSupport
import Glibc

/// The standard output of a command.
package enum StandardOutput {
    /// Some of the output is lost.
    package struct Failure: Error {
        /// One sentence: the reason and the remedy.
        package let message: String
    }

    /// Flushes the output.
    ///
    /// - Throws: ``Failure`` if some of what was printed since the last call could not be written.
    package static func flush() throws(Failure) {
        let reason = ccommandsupport_flush()
        guard reason != 0 else { return }
        throw Failure(
            message:
                "the output could not be written completely (\(String(cString: strerror(reason)))): send it elsewhere")
    }
}

extension ParsableCommand {
    /// Ends the process with an error of ``runAsRoot(_:)``.
    ///
    /// Help goes to standard output. Other errors go to standard error, usage errors with the usage of their verb.
    package static func end(with error: any Error) -> Never {
        let code = exitCode(for: error)
        if let lost = error as? StandardOutput.Failure {
            printError(lost.message)
        } else if code == .validationFailure {
            printError(usage(for: error))
        } else if code == .success || error is ExitCode {
            endQuietly(code, printing: error is ExitCode ? nil : fullMessage(for: error))
        } else {
            Journal.print(fullMessage(for: error), .error)
        }
        Glibc.exit(code.rawValue)
    }

    private static func endQuietly(_ code: ExitCode, printing text: String?) -> Never {
        if let text { print(text) }
        do { try StandardOutput.flush() } catch {
            printError(error.message)
            Glibc.exit(code == .success ? ExitCode.failure.rawValue : code.rawValue)
        }
        Glibc.exit(code.rawValue)
    }

    private static func usage(for error: any Error) -> String {
        // The parser knows the verb of its own errors, but not of one that the verb found when it ran.
        guard error is ValidationError else {
            let text = fullMessage(for: error), prefix = "Error: "
            return text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text
        }
        let (verb, path) = CommandWords.verb(of: Self.self)
        return """
            \(message(for: error))
            Usage: \(usageString(for: verb))
              See '\(path) --help' for more information.
            """
    }
}
