import Glibc

/// How long tests wait for what must happen, all of them: long enough for a machine that has much else to do, since nothing
/// depends on it unless a test fails. What must not happen is not waited for.
///
/// Shell commands and Python programs of tests have it as `$PATIENCE`.
public enum Patience {
    /// In seconds.
    public static let seconds: Int = {
        setenv("PATIENCE", "90", 0)
        return getenv("PATIENCE").flatMap { Int(String(cString: $0)) } ?? 90
    }()

    public static let duration = Duration.seconds(seconds)
    public static let milliseconds = CInt(seconds * 1000)
}
