import Glibc

/// The values of some environment variables, those that are set.
package func environmentVariables(_ names: [String]) -> [String: String] {
    var values: [String: String] = [:]
    for name in names {
        if let value = getenv(name) { values[name] = String(cString: value) }
    }
    return values
}
