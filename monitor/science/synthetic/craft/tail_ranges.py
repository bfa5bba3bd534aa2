"""What the magnetotail is drawn from, with sources.

References
----------
.. [1] Baumjohann, W., G. Paschmann, and C. A. Cattell (1989), Average plasma properties in the central plasma sheet,
   J. Geophys. Res., 94, 6597–6606, doi:10.1029/JA094iA06p06597.
.. [2] Angelopoulos, V., et al. (1992), Bursty bulk flows in the inner central plasma sheet, J. Geophys. Res., 97,
   4027–4039, doi:10.1029/91JA02701.
.. [3] Runov, A., et al. (2009), THEMIS observations of an earthward-propagating dipolarization front, Geophys. Res.
   Lett., 36, L14106, doi:10.1029/2009GL038980.
.. [4] Eastman, T. E., L. A. Frank, W. K. Peterson, and W. Lennartsson (1984), The plasma sheet boundary layer,
   J. Geophys. Res., 89, 1553–1572, doi:10.1029/JA089iA03p01553.
.. [5] Rosenbauer, H., et al. (1975), Heos 2 plasma observations in the distant polar magnetosphere: the plasma
   mantle, J. Geophys. Res., 80, 2723–2737, doi:10.1029/JA080i019p02723.
.. [6] Engwall, E., et al. (2009), Earth's ionospheric outflow dominated by hidden cold plasma, Nature Geoscience, 2,
   24–27, doi:10.1038/ngeo387.
.. [7] Koskinen, H. E. J. (2011), Physics of Space Storms, Springer, doi:10.1007/978-3-642-00319-6.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.science.synthetic.ranges import Range


@dataclass(frozen=True, slots=True)
class TailRanges:
    """What the tail is drawn from. "Chosen" means that no source is claimed.

    Attributes
    ----------
    lobe_field_nT, flaring_deg : Range
        |B| of the tail's lobes: 20 nT [7]_, MMS windows 16 to 27, stronger towards the Earth; angle from ±x. Chosen.
    polar_probability, polar_field_nT
        Lobes at high latitudes near the Earth, where the field is a dipole's.
    lobe_cm3, lobe_eV : Range
        0.01 to 0.03 cm⁻³ and 300 eV [7]_, MMS windows 0.03 cm⁻³ and 420 to 600 eV; colder where ions of the
        ionosphere are seen [6]_.
    mantle_probability, mantle_cm3, mantle_eV, mantle_kms
        The plasma mantle, which flows tailward along the field [5]_.
    lobe_kms : Range
        Convection towards the sheet.
    lobe_noise_kms, lobe_noise : Range
        Noise from step to step of moments that rest on few counts: of the flow, and of ln N and ln T.
    lobe_compressive, lobe_transverse, lobe_slow : Range
        Fluctuations of |B| (MMS windows 0.0014 to 0.02), across, and of ln N and ln T slowly.
    sheet_eV, cold_probability, cold_eV
        Ions of the plasma sheet: 4.2 keV [7]_ [1]_, MMS windows 6 to 8 keV; and of a cold, dense one.
    sheet_cm3 : Range
        Densities that are let stand.
    sheet_level : Range
        |Bx| in the sheet over the lobe's field.
    sheet_normal_nT, dipolar_probability, dipolar_nT
        Bz across the sheet, and nearer to the Earth.
    sheet_kms : Range
        Convection, mostly below 100 km/s [1]_.
    sheet_compressive, sheet_moments, sheet_moment_kms, sheet_slope : Range
        Fluctuations of |B|, ln N and ln T, the flow, and the field's slope.
    hovering : Range
        How far it moves in any window, in thicknesses. Chosen.
    flapping_probability, flapping, flapping_period_s
        The sheet's motion up and down: amplitude in thicknesses, and period. Chosen.
    crossing_probability, crossing_spacing_s, crossing_steps
        Passages through the neutral sheet to and fro: how far apart, and how long one takes. Chosen.
    bursts_probability, burst_spacing_s, burst_kms, burst_s
        Bursty bulk flows [2]_: how far apart, peak speed and duration.
    tailward_probability : float
        Of a burst that flows tailward.
    front_probability, front_nT, front_dip
        Dipolarization fronts [3]_: rise of Bz, and the share of N that is missing behind.
    boundary_beta, boundary_eV, boundary_ratio : Range
        Of the plasma sheet's boundary layer: thermal over total pressure, 0.1 [7]_; 1 keV [7]_; T⊥ / T∥ below 1 for
        the streams along the field [4]_.
    boundary_cm3, boundary_kms : Range
        Densities that are let stand; convection.
    boundary_level, boundary_plateau_steps : Range
        How ln P of the plasma goes up and down with the distance to the sheet, and plateaus of it. Chosen.
    dip_probability, dip_depth, dip_steps
        Short visits towards the lobe (less plasma) or the sheet (more). Chosen.
    beams_probability, beam_kms, beam_steps, beam_spacing_s
        Streams along the field of 200 to 1500 km/s, mostly earthward [4]_.
    boundary_compressive, boundary_moments, boundary_moment_kms : Range
        Fluctuations as of the others.
    """

    lobe_field_nT: Range = Range(10.0, 60.0, log=True)
    flaring_deg: Range = Range(0.0, 25.0)
    polar_probability: float = 0.25
    polar_field_nT: Range = Range(50.0, 250.0, log=True)
    lobe_cm3: Range = Range(0.003, 0.15, log=True)
    lobe_eV: Range = Range(30.0, 1000.0, log=True)
    mantle_probability: float = 0.15
    mantle_cm3: Range = Range(0.1, 1.0, log=True)
    mantle_eV: Range = Range(50.0, 300.0, log=True)
    mantle_kms: Range = Range(50.0, 250.0)
    lobe_kms: Range = Range(3.0, 60.0, log=True)
    lobe_noise_kms: Range = Range(4.0, 120.0, log=True)
    lobe_noise: Range = Range(0.01, 0.2, log=True)
    lobe_compressive: Range = Range(0.0008, 0.035, log=True)
    lobe_transverse: Range = Range(0.001, 0.03, log=True)
    lobe_slow: Range = Range(0.01, 0.25, log=True)
    sheet_eV: Range = Range(1000.0, 12000.0, log=True)
    cold_probability: float = 0.15
    cold_eV: Range = Range(300.0, 1000.0, log=True)
    sheet_cm3: Range = Range(0.05, 2.0, log=True)
    sheet_level: Range = Range(0.0, 0.7)
    sheet_normal_nT: Range = Range(0.5, 8.0, log=True)
    dipolar_probability: float = 0.2
    dipolar_nT: Range = Range(6.0, 25.0, log=True)
    sheet_kms: Range = Range(5.0, 100.0, log=True)
    sheet_compressive: Range = Range(0.004, 0.3, log=True)
    sheet_moments: Range = Range(0.02, 0.18, log=True)
    sheet_moment_kms: Range = Range(5.0, 60.0, log=True)
    sheet_slope: Range = Range(-2.9, -1.8)
    hovering: Range = Range(0.001, 0.04, log=True)
    flapping_probability: float = 0.5
    flapping: Range = Range(0.02, 1.4, log=True)
    flapping_period_s: Range = Range(60.0, 600.0, log=True)
    crossing_probability: float = 0.3
    crossing_spacing_s: Range = Range(300.0, 3000.0, log=True)
    crossing_steps: Range = Range(4.0, 120.0, log=True)
    bursts_probability: float = 0.35
    burst_spacing_s: Range = Range(150.0, 1500.0, log=True)
    burst_kms: Range = Range(200.0, 1200.0, log=True)
    burst_s: Range = Range(15.0, 240.0, log=True)
    tailward_probability: float = 0.2
    front_probability: float = 0.6
    front_nT: Range = Range(4.0, 20.0, log=True)
    front_dip: Range = Range(0.15, 0.65)
    boundary_beta: Range = Range(0.05, 0.33, log=True)
    boundary_eV: Range = Range(300.0, 4000.0, log=True)
    boundary_ratio: Range = Range(0.35, 1.0, log=True)
    boundary_cm3: Range = Range(0.02, 0.35, log=True)
    boundary_kms: Range = Range(5.0, 100.0, log=True)
    boundary_level: Range = Range(0.05, 0.4, log=True)
    boundary_plateau_steps: Range = Range(10.0, 120.0, log=True)
    dip_probability: float = 0.4
    dip_depth: Range = Range(-1.5, 1.2)
    dip_steps: Range = Range(2.0, 15.0, log=True)
    beams_probability: float = 0.6
    beam_kms: Range = Range(200.0, 1500.0, log=True)
    beam_steps: Range = Range(3.0, 60.0, log=True)
    beam_spacing_s: Range = Range(60.0, 900.0, log=True)
    boundary_compressive: Range = Range(0.003, 0.04, log=True)
    boundary_moments: Range = Range(0.03, 0.2, log=True)
    boundary_moment_kms: Range = Range(8.0, 80.0, log=True)
