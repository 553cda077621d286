import CommandSupport
import Foundation
import Steering

/// A table with aligned columns and, on a terminal, a bold heading.
struct Table {
    private let heading: [String]
    private var rows: [[String]] = []

    init(_ heading: String...) { self.init(heading) }

    init(_ heading: [String]) { self.heading = heading }

    mutating func add(_ cells: String...) { add(cells) }

    mutating func add(_ cells: [String]) { rows.append(cells) }

    /// Returns the lines of the table, with numeric columns right-aligned.
    func text(onTerminal: Bool = Terminal.isOutput) -> String {
        let columns = heading.indices
        // Bytes as widths: everything in tables is ASCII, except for names of processes.
        let widths = columns.map { column in
            rows.reduce(heading[column].utf8.count) { max($0, $1[column].utf8.count) }
        }
        let isNumeric = columns.map { column in
            !rows.isEmpty && rows.allSatisfy { $0[column].utf8.allSatisfy(Self.isNumeric) }
        }

        var text = ""
        func add(_ cells: [String]) {
            for column in columns {
                let space = String(repeating: " ", count: widths[column] - cells[column].utf8.count)
                let isLast = column == columns.last
                text += isNumeric[column] ? space + cells[column] : isLast ? cells[column] : cells[column] + space
                if !isLast { text += "  " }
            }
        }
        add(heading)
        if onTerminal { text = Terminal.bold(text) }
        for row in rows {
            text += "\n"
            add(row)
        }
        return text
    }

    private static func isNumeric(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
    }
}

/// Output to standard output and standard error.
enum Terminal {
    /// Whether to color standard output: it is interactive, and NO_COLOR is empty or unset (no-color.org).
    static let isOutput = isInteractive && (getenv("NO_COLOR").map { $0.pointee == 0 } ?? true)

    /// Whether standard output is a terminal that supports escape sequences.
    static let isInteractive = isatty(STDOUT_FILENO) == 1 && getenv("TERM").map { strcmp($0, "dumb") != 0 } ?? true

    /// Flushes output; throws if some of it could not be written.
    static func finish() throws(SteeringError) {
        do { try StandardOutput.flush() } catch { throw SteeringError(.systemCall, error.message) }
    }

    static func bold(_ text: String) -> String { "\u{1b}[1m\(text)\u{1b}[0m" }

    static func colored(_ text: String, _ code: Int) -> String {
        isOutput ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }
}
