"""Print versions, devices and the kernels in use, and for every problem the command that fixes it.

    maskprop doctor
    maskprop doctor --mend-opencv    (lays the headless OpenCV over the one that needs libGL.so.1)

Exit status: 0 when maskprop can work (warnings allowed), 1 when there is a problem.
"""

from __future__ import annotations

import argparse

from maskprop import doctor


def main() -> int:
    """Do ``maskprop doctor``; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--mend-opencv',
        action='store_true',
        help='make the headless OpenCV the one that is imported, then stop',
    )
    if parser.parse_args().mend_opencv:
        doctor.mend_opencv()
        return 0
    findings = doctor.diagnose()
    print(doctor.report(findings))
    return int(any(finding.level == doctor.PROBLEM for finding in findings))
