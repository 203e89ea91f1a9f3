/*
 * The ACPI devices of an hvrun machine: VMBus and a serial port. No PCI.
 *
 * The memory windows are for VMBus devices that need addresses of their own (video, PCI
 * pass-through). They must stay clear of RAM: see machine.h, and MAX_MEMORY in options.c.
 */
DefinitionBlock ("", "DSDT", 2, "HVSTAK", "HVRUN", 1)
{
    // Power-off. SLEEP_TYPE_S5 in platform.h.
    Name (\_S5, Package () { 5, 5, 0, 0 })

    Scope (\_SB)
    {
        // Guests look for the windows in the ancestors of VMBS; old Windows wants a container.
        Device (VMOD)
        {
            Name (_HID, "ACPI0004")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0x0, 0xF0000000, 0xF7FFFFFF, 0x0, 0x08000000)
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0x0, 0xFE0000000, 0xFFFFFFFFF, 0x0, 0x20000000)
            })

            Device (VMBS)
            {
                // Guests of all ages know this name; newer ones also know "MSFT1000".
                Name (_HID, "VMBus") // iasl objects to five letters: -vw 6033
                Name (_UID, 0)
                Name (_DDN, "VMBUS")
                Name (STA, 0xF)
                Method (_STA, 0, NotSerialized) { Return (STA) }
                Method (_DIS, 0, NotSerialized) { STA &= 0xD }
                Method (_PS0, 0, NotSerialized) { STA |= 0xF }
                Method (_PS3, 0, NotSerialized) { }
                // Never raised, but some guests insist; the short descriptor, for old Linux.
                Name (_CRS, ResourceTemplate ()
                {
                    IRQ (Edge, ActiveHigh, Exclusive) { 5 }
                })
            }
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x3F8, 0x3F8, 1, 8)
                IRQNoFlags () { 4 }
            })
        }
    }
}
