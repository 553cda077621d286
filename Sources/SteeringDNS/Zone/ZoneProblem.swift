/// Something that is wrong with the records of a zone taken together.
public struct ZoneProblem: Sendable, Hashable, CustomStringConvertible {
    /// The file that the record came from, when that is known.
    public let file: String?
    /// The line on which the record begins, when that is known.
    public let line: Int?
    /// One sentence for people: what is wrong, and the remedy.
    public let message: String

    /// `FILE:LINE: sentence`, or the sentence alone.
    public var description: String {
        switch (file, line) {
        case (let file?, let line?): "\(file):\(line): \(message)"
        case (let file?, nil): "\(file): \(message)"
        default: message
        }
    }
}

/// Everything for which a zone was refused.
public struct ZoneProblems: Error, Sendable, Hashable, CustomStringConvertible {
    /// At least one problem, in the order of the records.
    public let problems: [ZoneProblem]

    /// The problems, one a line.
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}
