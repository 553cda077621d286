import AddressPools

/// What a file that is not a list looks like, judged by one of its lines, and how to make a list of it.
struct ForeignFormat {
    private let message: String
    /// A shell command that prints the file `FILE` as a list; nil if there is none.
    private let command: String?

    /// Returns the format of a line that a list does not have; nil if it is not known.
    init?(of line: [UInt8]) {
        for recognize in [
            Self.encoding, Self.filter, Self.resolver, Self.hosts, Self.address, Self.zone, Self.separated,
            Self.decorated, Self.suffix,
        ] {
            guard let format = recognize(Line(line)) else { continue }
            self = format
            return
        }
        return nil
    }

    private init(_ message: String, _ command: String? = nil) {
        self.message = message
        self.command = command
    }

    private init(file: String, _ command: String) {
        self.init("the line is of \(file): write one name in a line", command)
    }

    /// Returns the problem and the remedy for a file.
    func sentence(converting file: String) -> String {
        guard let command else { return message }
        return message + ", as `\(command.replacing("FILE", with: shellWord(file)))` prints it"
    }

    /// A line in the forms in which formats are recognized.
    private struct Line {
        let bytes: [UInt8]
        let text: String
        /// The words, separated by spaces.
        let words: [Substring]
        var first: Substring { words.first ?? "" }

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
            text = String(decoding: bytes, as: UTF8.self)
            words = text.split { $0 == " " || $0 == "\t" || $0 == "\r" || $0 == "\r\n" }
        }

        /// Whether it is a rule for elements of pages, such as `example.com##.banner`.
        var isElementRule: Bool {
            ["##", "#@#", "#?#", "#$#", "#%#"].contains { first.contains($0) && !first.hasPrefix($0) }
        }

        func begins(with prefixes: String...) -> Bool { prefixes.contains { text.hasPrefix($0) } }
    }
}

// MARK: - Formats

extension ForeignFormat {
    private static func encoding(_ line: Line) -> ForeignFormat? {
        if line.bytes.contains(0) || line.bytes.starts(with: [0xFF, 0xFE]) || line.bytes.starts(with: [0xFE, 0xFF]) {
            return ForeignFormat("the file seems to be UTF-16: write ASCII", "iconv -f UTF-16 -t UTF-8 FILE")
        }
        if line.bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
            return ForeignFormat("the file begins with a byte order mark: remove it", "tail -c +4 FILE")
        }
        return nil
    }

    /// Lists of ad blockers: `||ads.example.com^`, `@@||example.com^`, `! a comment`, `example.com##.banner`.
    private static func filter(_ line: Line) -> ForeignFormat? {
        guard line.begins(with: "||", "@@", "!", "[Adblock", "##") || line.isElementRule else { return nil }
        return ForeignFormat(
            file: "an ad blocker's list", #"sed -nE 's/^\|\|([A-Za-z0-9._-]+\.[A-Za-z][A-Za-z0-9-]*)\^.*/\1/p' FILE"#)
    }

    /// Configurations of dnsmasq and Unbound.
    private static func resolver(_ line: Line) -> ForeignFormat? {
        if line.first.prefix(while: \.isLetter).count > 0, line.first.drop(while: \.isLetter).hasPrefix("=/") {
            return ForeignFormat(
                file: "a configuration of dnsmasq",
                #"awk -F/ '/^(address|server|local)=/ { for (i = 2; i < NF; i++) { sub(/^[*.]+/, "", $i); print $i } }' FILE"#
            )
        }
        if ["server:", "local-zone:", "local-data:"].contains(line.first) {
            return ForeignFormat(file: "a configuration of Unbound", #"awk -F'"' '/^ *local-zone:/ { print $2 }' FILE"#)
        }
        return nil
    }

    /// Hosts files: an address, and names for it.
    private static func hosts(_ line: Line) -> ForeignFormat? {
        guard line.words.count > 1, isAddress(line.first), !line.words[1].hasPrefix("#") else { return nil }
        return ForeignFormat(
            file: "a hosts file",
            #"awk '{ sub(/#.*/, ""); for (i = 2; i <= NF; i++) if ($i ~ /[A-Za-z]/) print $i }' FILE"#)
    }

    private static func address(_ line: Line) -> ForeignFormat? {
        guard isAddress(line.first) || (try? IPPrefix(String(line.first))) != nil else { return nil }
        return ForeignFormat("\(quoted(String(line.first))) is an address, and a list has names: remove the line")
    }

    /// Response policy zones: `ads.example.com CNAME .`, after a head with `$TTL` and an SOA.
    private static func zone(_ line: Line) -> ForeignFormat? {
        let types = ["CNAME", "SOA", "NS", "A", "AAAA", "TXT", "IN"]
        guard
            line.begins(with: "$TTL", "$ORIGIN", ";", "@ ", "@\t")
                || line.words.dropFirst().prefix(2).contains(where: { types.contains($0.uppercased()) })
        else { return nil }
        return ForeignFormat(
            file: "a zone file or a response policy zone",
            #"awk '$NF == "." && $(NF - 1) == "CNAME" { sub(/^[*.]+/, ""); print $1 }' FILE"#)
    }

    /// Tables: `1,example.com`, `"example.com";"x"`, `1 example.com`, and several names in a line.
    private static func separated(_ line: Line) -> ForeignFormat? {
        if line.first.allSatisfy(\.isNumber), line.words.count > 1, isHost(line.words[1]) {
            return ForeignFormat(file: "a table", "awk '{ print $2 }' FILE")
        }
        if let separator = ([",", ";"] as [Character]).first(where: line.text.contains), !line.text.hasPrefix("[") {
            let fields = line.text.split(separator: separator, omittingEmptySubsequences: false).map(unquoted)
            if fields.contains(where: { !$0.isEmpty && !isHost($0) }) { return table(line, fields, separator) }
        }
        if line.words.count > 1, line.words.allSatisfy({ isHost(unquoted($0)) }) {
            return ForeignFormat("the line has several names: write one name in a line", #"tr -s ' \t' '\n' <FILE"#)
        }
        return nil
    }

    private static func table(_ line: Line, _ fields: [Substring], _ separator: Character) -> ForeignFormat {
        let column = fields.firstIndex(where: isHost)
        // A head has no name of a host.
        let headed = fields.firstIndex { field in
            ["domain", "host", "name"].contains { field.lowercased().contains($0) }
        }
        let cut = "cut -d'\(separator)' -f\((column ?? headed ?? 1) + 1)"
        let unquote = line.text.contains("\"") ? #" | tr -d '"'"# : ""
        return ForeignFormat(
            file: "a CSV file", (column == nil ? "tail -n +2 FILE | \(cut)" : "\(cut) FILE") + unquote)
    }

    /// Names with something around them: URLs, mail addresses, ports, paths, quotes.
    private static func decorated(_ line: Line) -> ForeignFormat? {
        let word = line.first
        if word.contains("://") {
            return ForeignFormat(
                file: "a list of URLs",
                #"sed -nE 's|^[A-Za-z]+://([^/@]*@)?([A-Za-z0-9._-]+\.[A-Za-z][A-Za-z0-9-]*)([:/?#[:space:]].*)?$|\2|p' FILE"#
            )
        }
        if word.contains("\"") || word.contains("'") || word.hasPrefix("[") || word.contains(",") {
            return ForeignFormat(
                "the names are in quotes or separated by commas: write one name in a line, without them",
                #"tr ',' '\n' <FILE | tr -d "[] \"'""#)
        }
        if word.contains("@"), !word.hasPrefix("@") {
            return ForeignFormat(file: "a list of mail addresses", "cut -d@ -f2 FILE")
        }
        if let colon = word.firstIndex(of: ":"), isHost(word[..<colon]) {
            return ForeignFormat("a name in a list has no port: remove it", "cut -d: -f1 FILE")
        }
        if let slash = word.firstIndex(of: "/"), isHost(word[..<slash]) {
            return ForeignFormat("a name in a list has no path: remove it", "cut -d/ -f1 FILE")
        }
        if line.bytes.contains(where: { $0 >= 0x80 }) {
            return ForeignFormat("the name is not all ASCII: write international names in their xn-- form")
        }
        return nil
    }

    /// Names that stand for all names below: `*.example.com`, `.example.com`.
    private static func suffix(_ line: Line) -> ForeignFormat? {
        if line.begins(with: "*.", ".") {
            return ForeignFormat(
                "a name in a list stands for itself: match those below by a policy's suffix, and write the name alone",
                #"sed 's/^\**\.*//' FILE"#)
        }
        guard line.first.contains("*") || line.first.hasPrefix(#"\042."#) else { return nil }
        return ForeignFormat(
            "an asterisk stands for nothing in a list: list each name, or write a policy with a suffix")
    }
}

// MARK: - Parts of lines

/// Whether a word is an address, with or without a zone of IPv6.
private func isAddress(_ word: Substring) -> Bool { (try? IPAddress(String(word.prefix { $0 != "%" }))) != nil }

/// Whether a word is a host name of several labels.
private func isHost(_ word: Substring) -> Bool {
    let labels = word.split(separator: ".", omittingEmptySubsequences: false)
    return labels.count > 1 && labels.last!.contains(where: \.isLetter)
        && labels.allSatisfy { label in
            !label.isEmpty
                && label.utf8.allSatisfy { byte in
                    isDigit(byte) || isLetter(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                }
        }
}

private func unquoted(_ field: Substring) -> Substring {
    var field = field
    while let first = field.first, " \"'".contains(first) { field.removeFirst() }
    while let last = field.last, " \"'\r".contains(last) { field.removeLast() }
    return field
}

/// Returns a path as a word of a shell.
private func shellWord(_ path: String) -> String {
    let isPlain = path.utf8.allSatisfy { byte in
        isDigit(byte) || isLetter(byte) || "/._-+".utf8.contains(byte)
    }
    return isPlain ? path : "'\(path.replacing("'", with: #"'\''"#))'"
}
