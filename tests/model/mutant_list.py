# SPDX-License-Identifier: BSD-2-Clause
"""Rules of switching, broken on purpose: for each, the test of tests/model that must notice.

A mutant is one text of one source file, found exactly once, replaced by another.
"""
from collections import namedtuple

Mutant = namedtuple("Mutant", "name test file old new")

SVM, VMX = "arch/x86/svm/lbr.c", "arch/x86/vmx/lbr.c"

MUTANTS = [
    Mutant("svm-clean-bit-stays", "test_svm", SVM, "svm_touch(c, CLEAN_LBR);", ""),
    Mutant("svm-map-not-recomputed", "test_svm", SVM,
           "c->msrpm_pa = s->msrpm_pa[on];", "if (on)\n\t\tc->msrpm_pa = s->msrpm_pa[on];"),
    Mutant("svm-map-clean-bit-stays", "test_svm", SVM, "svm_touch(c, CLEAN_PERMISSIONS);", ""),
    Mutant("svm-control-stays-off", "test_svm", SVM, "on ? LBR_CONTROL_ENABLE : 0", "0"),
    Mutant("svm-control-not-recomputed", "test_svm", SVM,
           "\tupdate(s);\n}\n\nvoid svm_lbr_reset", "}\n\nvoid svm_lbr_reset"),
    Mutant("svm-host-debugctl-left-on", "test_svm", SVM,
           "(void)!msr_write_safe(MSR_DEBUGCTL, 0);\n\tif (!boot)", "if (!boot)"),
    Mutant("svm-probe-leaves-debugctl-on", "test_svm", SVM,
           "\tmsr_write(MSR_DEBUGCTL, 0);\n", ""),
    Mutant("svm-debugctl-survives-reset", "test_svm", SVM,
           "\tsvm_lbr_set_debugctl(s, 0);\n", ""),
    Mutant("svm-records-survive-power-on", "test_svm", SVM,
           "kept ? kept->record[i] : 0", "records(c)[i]"),

    Mutant("vmx-host-debugctl-left-on", "test_vmx", VMX,
           "(void)!msr_write_safe(MSR_DEBUGCTL, 0);", ""),
    Mutant("vmx-host-control-left-on", "test_vmx", VMX,
           "(void)!msr_write_safe(MSR_ARCH_LBR_CTL, 0);", ";"),
    Mutant("vmx-debugctl-survives-reset", "test_vmx", VMX,
           "\tvmwrite(VMCS_GUEST_DEBUGCTL, 0);\n", ""),
    Mutant("vmx-control-survives-reset", "test_vmx", VMX,
           "\t\tvmwrite(VMCS_GUEST_LBR_CTL, 0);\n", ";"),
    Mutant("vmx-records-survive-power-on", "test_vmx", VMX, "s->lbr.value[i] = 0;", ";"),
    Mutant("vmx-map-not-recomputed", "test_vmx", VMX,
           "\tvmx_use_msr_bitmap(s);", "\tif (on)\n\t\tvmx_use_msr_bitmap(s);"),
    Mutant("vmx-records-not-loaded", "test_vmx", VMX, "\tif (on)\n\t\ttake(s);\n", ""),
    Mutant("vmx-records-not-switched", "test_vmx", VMX,
           "\tif (unlikely(s->lbr.on))\n\t\ttake(s);\n", ""),
    Mutant("vmx-records-not-saved", "test_vmx", VMX,
           "\tif (*holder)\n\t\tsave_records(*holder);\n", ""),
    Mutant("vmx-records-not-released", "test_vmx", VMX, "\tsave_records(s);\n", ""),
    Mutant("vmx-released-and-kept", "test_vmx", VMX, "\t*holder = NULL;\n", ""),
    Mutant("vmx-reads-old-records", "test_vmx", VMX, "holders[cpu_index()] == s\n", "s->lbr.on\n"),
    Mutant("vmx-writes-others-records", "test_vmx", VMX,
           "\ttake(s);\n\treturn msr_write_safe", "\treturn msr_write_safe"),
    Mutant("vmx-signs-not-extended", "test_vmx", VMX, "own.extend_sign && in_row", "0 && in_row"),
    Mutant("vmx-depth-not-loaded", "test_vmx", VMX,
           "\t\tmsr_write(own.stack.depth_msr, s->lbr.depth);\n", "\t\t;\n"),
    Mutant("vmx-exit-leaves-control-on", "test_vmx", "arch/x86/vmx/controls.c",
           "\t\tvmx_caps.exit |= EXITCTL_CLEAR_LBR;\n", ""),
    Mutant("vmx-entry-without-exit", "test_vmx", "arch/x86/vmx/controls.c",
           " &&\n\t    (caps[SET_EXIT] >> 32 & EXITCTL_CLEAR_LBR)", ""),
    Mutant("vmx-last-exception-direct", "test_vmx", "arch/x86/vmx/maps.c",
           "vmx_lbr_direct(index)", "lbr_offer.has(index)"),
    Mutant("vmx-control-survives-debug-exception", "test_vmx", VMX,
           "ctl & ~(uint64_t)ARCH_LBR_EN", "ctl"),
    Mutant("debugctl-survives-debug-exception", "test_vmx", "arch/x86/guest/events.c",
           "s->debugctl &= ~(uint64_t)(DEBUGCTL_LBR | DEBUGCTL_BTF);", ""),
    Mutant("debugctl-takes-reserved-bits", "test_vmx", "arch/x86/guest/debugctl.c",
           "value & ~(lbr_offer.debugctl | lbr_offer.ignored)", "false"),
]
