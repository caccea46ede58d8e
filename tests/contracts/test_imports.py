from __future__ import annotations

import subprocess
import sys


def test_the_contracts_import_neither_torch_nor_a_kafka_client() -> None:
    code = (
        "import sys, schemas, schemas.generate\n"
        "heavy = {'torch', 'numpy', 'cv2', 'aiokafka', 'pycocotools', 'inspector', 'trainer'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_public_name_is_exported_once() -> None:
    import schemas

    assert len(set(schemas.__all__)) == len(schemas.__all__)
    for name in schemas.__all__:
        assert hasattr(schemas, name)
