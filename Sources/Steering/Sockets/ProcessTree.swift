import Glibc

/// A process and its descendants. A descendant is missed if an ancestor in between ended before ``update()`` saw both.
struct ProcessTree {
    private struct Member {
        /// The number of generations from its root.
        let depth: Int
        /// The start time in /proc, which distinguishes the process from a later one with the same number.
        let start: UInt64
    }

    private var members: [pid_t: Member] = [:]

    init(root: pid_t) { adopt(root) }

    /// Adds a process as another root.
    mutating func adopt(_ process: pid_t) { add(process, depth: 0) }

    /// Refreshes the tree, and returns its living processes, those nearest to a root first.
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

    /// Adds a process, and returns whether it is alive.
    @discardableResult
    private mutating func add(_ process: pid_t, depth: Int) -> Bool {
        guard let start = ProcFS.startTime(of: process) else { return false }
        members[process] = Member(depth: depth, start: start)
        return true
    }
}
