/// A problem with the records of a zone taken together.
public struct ZoneProblem: Sendable, Hashable, CustomStringConvertible {
    /// The file of the record, if known.
    public let file: String?
    /// The line on which the record begins, from 1, if known.
    public let line: Int?
    /// One sentence: the problem and the remedy.
    public let message: String

    /// `FILE:LINE: sentence`, or the part that is known.
    public var description: String {
        switch (file, line) {
        case (let file?, let line?): "\(file):\(line): \(message)"
        case (let file?, nil): "\(file): \(message)"
        default: message
        }
    }
}

/// All the problems for which a zone was refused.
public struct ZoneProblems: Error, Sendable, Hashable, CustomStringConvertible {
    /// One or more problems, in the order of the records; those about missing records come first.
    public let problems: [ZoneProblem]

    /// The problems, one per line.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}
