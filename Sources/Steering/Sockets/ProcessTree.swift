import Glibc

/// A process and those that descend from it, as far as they were seen before the one between them ended.
struct ProcessTree {
    private struct Member {
        /// How many generations it is from the root.
        let depth: Int
        /// With its number it means no other process.
        let start: UInt64
    }

    private var members: [pid_t: Member] = [:]

    init(root: pid_t) { adopt(root) }

    /// Adds a process as another root.
    mutating func adopt(_ process: pid_t) { add(process, depth: 0) }

    /// The processes that live, those nearest to a root first.
    mutating func update() -> [(process: pid_t, depth: Int)] {
        members = members.filter { ProcFS.startTime(of: $0.key) == $0.value.start }
        var open = members.map { (process: $0.key, depth: $0.value.depth) }
        while let (process, depth) = open.popLast() {
            for child in ProcFS.children(of: process) where members[child] == nil && add(child, depth: depth + 1) {
                open.append((child, depth + 1))
            }
        }
        return members.map { ($0.key, $0.value.depth) }.sorted { ($0.depth, $0.process) < ($1.depth, $1.process) }
    }

    /// - Returns: Whether it lives.
    @discardableResult
    private mutating func add(_ process: pid_t, depth: Int) -> Bool {
        guard let start = ProcFS.startTime(of: process) else { return false }
        members[process] = Member(depth: depth, start: start)
        return true
    }
}
