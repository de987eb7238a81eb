; SPDX-License-Identifier: BSD-2-Clause
; The DSDT, compiled from platform/dsdt.asl, as bytes of the image.
	section .rodata
	global dsdt_aml
	global dsdt_aml_end

	align 16
dsdt_aml:
	incbin "build/platform/dsdt.aml"
dsdt_aml_end:
