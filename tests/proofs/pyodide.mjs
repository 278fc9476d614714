// The pure-Python wheel in Pyodide: it installs, warns once, predicts and learns.
// node pyodide.mjs WHEEL
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename } from "node:path";

const require = createRequire(process.cwd() + "/");
const { loadPyodide } = await import(require.resolve("pyodide"));
const pyodide = await loadPyodide();
await pyodide.loadPackage(["numpy", "micropip"]);
const wheel = process.argv[2];
pyodide.FS.writeFile("/tmp/" + basename(wheel), readFileSync(wheel));
await pyodide.runPythonAsync(`
import micropip, warnings
await micropip.install("emfs:/tmp/${basename(wheel)}")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import crnn, numpy as np
messages = [str(w.message) for w in caught if "crnn" in str(w.message)]
assert len(messages) == 1 and "--no-binary crnn" in messages[0], messages
x = np.sin(np.arange(200) / 5).reshape(4, 50, 1)
net = crnn.LSTM(1, 8, 1, seed=0)
loss = net.fit(x[:, :-1], x[:, 1:], epochs=20).loss
assert loss[-1] < loss[0], loss
stream = net.stream()
steps = np.array([stream.step(row) for row in np.float32(x[0])])
assert np.allclose(steps, net.predict(x[0]), atol=1e-6)
print(crnn.implementation, loss[0], loss[-1])
`);
