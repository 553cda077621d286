import Glibc

/// Returns the environment variables of the given names that are set.
package func environmentVariables(_ names: [String]) -> [String: String] {
    var values: [String: String] = [:]
    for name in names {
        if let value = getenv(name) { values[name] = String(cString: value) }
    }
    return values
}
