"""Write the dashboards that Grafana reads: `python -m deploy.grafana`."""

from __future__ import annotations

from deploy.grafana.documents import FOLDER, documents


def main() -> None:
    """Write each dashboard into its file."""
    for name, text in documents().items():
        file = FOLDER / f"{name}.json"
        file.write_text(text, encoding="utf-8")
        print(file)


if __name__ == "__main__":
    main()
