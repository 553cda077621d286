import Foundation
import Steering

/// JSON as this command prints it: sorted keys, one line.
enum JSON {
    static func text(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // What is encoded here has no number that is not one, which is all that could fail.
        return String(decoding: try! encoder.encode(value), as: UTF8.self)
    }
}

/// Columns for people: aligned, the heading bold on a terminal.
struct Table {
    private let heading: [String]
    private var rows: [[String]] = []

    init(_ heading: String...) { self.heading = heading }

    mutating func add(_ cells: String...) { rows.append(cells) }

    /// The table's lines; numbers are to the right.
    func text(onTerminal: Bool = Terminal.isOutput) -> String {
        let widths = heading.indices.map { column in
            ([heading] + rows).reduce(0) { max($0, $1[column].count) }
        }
        let isNumeric = heading.indices.map { column in
            !rows.isEmpty && rows.allSatisfy { $0[column].allSatisfy { $0.isNumber || $0 == "." || $0 == "-" } }
        }
        func line(_ cells: [String]) -> String {
            var line = ""
            for (column, cell) in cells.enumerated() {
                let space = String(repeating: " ", count: widths[column] - cell.count)
                line += isNumeric[column] ? space + cell : cell + space
                line += "  "
            }
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
        let first = onTerminal ? Terminal.bold(line(heading)) : line(heading)
        return ([first] + rows.map(line)).joined(separator: "\n")
    }
}

/// What standard output is.
enum Terminal {
    /// A terminal that may be coloured (see no-color.org).
    static let isOutput = isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == nil

    /// Prints a line to standard error.
    static func complain(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        write(STDERR_FILENO, bytes, bytes.count)
    }

    static func bold(_ text: String) -> String { "\u{1b}[1m\(text)\u{1b}[0m" }

    static func colored(_ text: String, _ code: Int) -> String {
        isOutput ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }
}
