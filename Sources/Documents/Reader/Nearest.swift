/// Returns the known word that `word` is a slip of the keyboard for; nil if there is none, or more than one.
///
/// A wrong guess is worse than none. So words must begin with the same letter, differ in at most a quarter of their
/// letters, one in words of three to seven, and not in their digits alone: `web2` is no slip for `web1`. Swapped
/// neighbours count as one difference, case and the kind of hyphen as none.
package func nearest(to word: String, among known: [String]) -> String? {
    guard word.utf8.count <= 64 else { return nil }
    let letters = folded(word)
    var best: (word: String, distance: Int)?
    var isUnique = true
    for candidate in known {
        let other = folded(candidate)
        let length = max(letters.count, other.count)
        guard letters.first == other.first, letters == other || withoutDigits(letters) != withoutDigits(other),
            length >= 3
        else { continue }
        let distance = distance(letters, other)
        if distance > max(1, length / 4) || distance > best?.distance ?? .max { continue }
        isUnique = distance != best?.distance
        best = (candidate, distance)
    }
    return isUnique ? best?.word : nil
}

private func folded(_ word: String) -> [UInt8] {
    word.lowercased().utf8.map { $0 == UInt8(ascii: "_") ? UInt8(ascii: "-") : $0 }
}

private func withoutDigits(_ word: [UInt8]) -> [UInt8] {
    word.filter { !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
}

/// Returns the distance of Damerau and Levenshtein: letters that are inserted, left out, replaced, or swapped with their
/// neighbour.
private func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var rows = [Array(0...right.count)]
    for i in left.indices {
        var row = [i + 1]
        for j in right.indices {
            let isSame = left[i] == right[j]
            var least = min(rows[i][j] + (isSame ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] {
                least = min(least, rows[i - 1][j - 1] + 1)
            }
            row.append(least)
        }
        rows.append(row)
    }
    return rows[left.count][right.count]
}
