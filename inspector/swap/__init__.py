"""Models changed while frames flow: releases are followed, bundles loaded off the device's path, routes exchanged between two frames."""
